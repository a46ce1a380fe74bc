"""Job files: from the YAML that a user writes to the `JobSpec` that is submitted.

`load` reads a file, `check` verifies a spec that came over the wire by the same rules,
`schema` publishes the format, `convert` writes a job file from an sbatch script. The
format itself is one literal table, `fields.JOB_FILE`; every bound stands in `limits`.
Import from the modules: this one stays empty, so that the broker can use `check` without
paying for a YAML parser.
"""
