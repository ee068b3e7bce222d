"""InfraValidator without containers: serves the export in a process of its own and asks it real questions.

`component.AgNewsInfraValidator` is the stage, `server` the process, `validate` what is asked of it.
"""
