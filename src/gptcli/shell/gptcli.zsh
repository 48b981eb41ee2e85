# gptcli's key binding for zsh. Add to ~/.zshrc:
#   eval "$(gptcli shell zsh)"
# The key turns the line being typed into a command. It is shown and never run.

_gptcli_line() {
    emulate -L zsh -o pipe_fail
    [[ -n ${BUFFER//[[:space:]]/} ]] || return 0
    local written
    zle -R 'gptcli is writing a command; Ctrl-C stops it.'
    # Control characters except tab and newline are removed: the line shows all that Enter would run.
    if written=$(
        gptcli chat --role shell --no-save --no-stdin --quiet -- "$BUFFER" </dev/null 2>&1 |
            LC_ALL=C tr -d '\000-\010\013-\037\177'
    ); then
        if [[ -n $written ]]; then
            BUFFER=$written
            CURSOR=$#BUFFER
        fi
        zle -M ''
    else
        zle -M "$written"
    fi
}

zle -N _gptcli_line
bindkey -M emacs 'KEY' _gptcli_line
bindkey -M viins 'KEY' _gptcli_line
