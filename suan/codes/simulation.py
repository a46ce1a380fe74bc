"""What `suan simulate` cannot read."""

SIMULATION = {
    "FileUnreadable": ("A file cannot be read.", "Check its name and its permissions."),
    "TraceUnreadable": (
        "The trace cannot be read.",
        "Check its name and its permissions; gzip is unpacked by itself.",
    ),
    "UnknownTraceFormat": (
        "The file is no trace with submissions, run times and cards.",
        "Name a trace in SWF, or a CSV whose header names the columns of a known format.",
    ),
    "TraceEmpty": (
        "No row of the trace makes a job that could be replayed.",
        "See which rows were dropped and why; each reason names lines.",
    ),
    "FederationEmpty": ("The federation has no accelerators.", "Give its sites pools."),
    "BadWhatIf": (
        "A what-if of the command line cannot be read.",
        "Write NAME@36h..40h for times, and NAME=2.80 for prices.",
    ),
    "UnknownName": (
        "The federation has nothing of this name.",
        "Use a name of the federation file; the nearest is suggested.",
    ),
    "UnknownLink": (
        "The network has no link between these two.",
        "Pick one from `suan network show`.",
    ),
}
