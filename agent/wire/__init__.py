"""Between the agent's values and the messages of `suan.v1`. Translates; decides nothing."""
