# Written by `gptcli completions`; changes made here are lost.
_gptcli_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _GPTCLI_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _gptcli_completion gptcli
