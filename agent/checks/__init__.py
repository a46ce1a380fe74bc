"""What `suan-agent preflight` looks at before a site joins, each finding with what to do."""
