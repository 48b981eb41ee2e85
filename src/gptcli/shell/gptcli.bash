# gptcli's key binding for bash 4 or newer. Add to ~/.bashrc:
#   eval "$(gptcli shell bash)"
# The key turns the line being typed into a command. It is shown and never run.

_gptcli_line() {
    [[ ${READLINE_LINE//[[:space:]]/} ]] || return 0
    local written
    printf 'gptcli is writing a command; Ctrl-C stops it.' >&2
    # Control characters except tab and newline are removed: the line shows all that Enter would run.
    if written=$(
        set -o pipefail
        gptcli chat --role shell --no-save --no-stdin --quiet -- "$READLINE_LINE" </dev/null 2>&1 |
            LC_ALL=C tr -d '\000-\010\013-\037\177'
    ); then
        printf '\r\033[K' >&2
        if [[ $written ]]; then
            READLINE_LINE=$written
            READLINE_POINT=${#READLINE_LINE}
        fi
    else
        printf '\r\033[K%s\n' "$written" >&2
    fi
}

for _gptcli_keymap in emacs vi-insert; do
    bind -m "$_gptcli_keymap" -x '"KEY": _gptcli_line'
done
unset _gptcli_keymap
