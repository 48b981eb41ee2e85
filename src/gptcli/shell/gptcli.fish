# gptcli's key binding for fish. Add to ~/.config/fish/config.fish:
#   gptcli shell fish | source
# The key turns the line being typed into a command. It is shown and never run.

function _gptcli_line
    set -l line (commandline | string collect)
    test -n (string trim -- "$line" | string collect); or return 0
    # Control characters except tab and newline are removed: the line shows all that Enter would run.
    set -l written (
        gptcli chat --role shell --no-save --no-stdin --quiet -- "$line" </dev/null 2>&1 |
            LC_ALL=C tr -d '\000-\010\013-\037\177' | string collect
        set -g _gptcli_status $pipestatus[1]
    )
    if test "$_gptcli_status" != 0
        printf '\n%s\n' "$written" >&2
    else if test -n "$written"
        commandline --replace -- "$written"
    end
    set -e _gptcli_status
    commandline --function repaint
end

for _gptcli_mode in default insert
    bind --mode $_gptcli_mode KEY _gptcli_line
end
set -e _gptcli_mode
