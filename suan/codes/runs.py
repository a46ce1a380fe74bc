"""Why a job's run cannot be reached into: its files, and commands beside it."""

COMMANDS = {
    "ExecDenied": (
        "The site does not allow commands beside jobs.",
        "Let the job write what you want to see; or ask the operator for `exec: allowed`.",
    ),
    "ExecUnsupported": (
        "What runs the job at this site cannot start commands beside it.",
        "A job that starts from now on may take them: its site's agent may have been older.",
    ),
    "ExecFailed": (
        "The site could not start the command.",
        "Try again; if it goes on, tell the site's operator.",
    ),
    "NotRunning": (
        "The job does not run now, and commands run only beside jobs that run.",
        "See `suan get`; wait for it with `suan logs -f`.",
    ),
    "RunEnded": ("The job's run ended, and the command beside it too.", "See `suan get`."),
    "NotYourJob": (
        "The job is another person's of your organisation.",
        "Ask that person, or an administrator of your organisation.",
    ),
    "NoSuchRank": ("The job has fewer ranks.", "They count from 0; see `suan get`."),
    "NoSuchCommand": ("The command is over and forgotten.", "Start it again."),
    "BadCommand": (
        "What is to run makes no sense as a command.",
        "Write a program and its words after --, of 64 KiB at most.",
    ),
    "InputTooLarge": (
        "A command beside a job takes at most 64 MiB of input.",
        "Send large files as a dataset.",
    ),
    "TooManyCommands": (
        "As many commands run beside jobs at this site as it allows.",
        "Try again when another one has ended.",
    ),
}

FILES = {
    "NoFiles": ("The job has not started, so it has no files.", "`suan explain` says why."),
    "NoSuchFile": (
        "There is nothing of this name in the job's directories.",
        "`suan cp JOB:` lists what there is; `suan cp JOB:outputs` what is in one of them.",
    ),
    "PathNotAllowed": (
        "The path, or a link on its way, leads out of the directories of the job.",
        "Let the job copy what you need into $SUAN_OUTPUT_DIR.",
    ),
    "FilesForgotten": (
        "The site no longer keeps what the job's attempt left there.",
        "Look into what the job put out elsewhere; sites keep the newest runs.",
    ),
    "FilesUnreadable": (
        "The site cannot read this file: its disk or its permissions do not let it.",
        "Ask the site's operator; if it is a directory that the job made, check its mode.",
    ),
    "IsADirectory": ("It is a directory, where a file is wanted.", "Copy it with `suan cp`."),
    "NotAFile": (
        "It is a pipe, a socket or a device, and neither a file nor a directory.",
        "Copy what the job writes to a file.",
    ),
    "DirectoryTooLarge": (
        "The directory has more entries than are copied at once.",
        "Copy its parts one by one, or let the job pack them into one file.",
    ),
    "FileChanged": (
        "The file was replaced, became shorter, or was written over while it was copied.",
        "Copy it again once the job has written it. What was copied of it is not used.",
    ),
    "FileExists": (
        "Another file is at the place of the copy, so nothing was copied.",
        "Choose another place, or replace what is there with --force.",
    ),
    "CopyFailed": (
        "The copy cannot be written here.",
        "Look at the disk and the permissions; the same command goes on where it was.",
    ),
    "UploadUnsupported": (
        "Files are copied from a job to this machine only.",
        "Send files with `workdir` in the job file, or register them as a dataset.",
    ),
    "AnswerUnreadable": (
        "The site answered something else than what it was asked.",
        "Report it, with the version of the site's agent.",
    ),
}
