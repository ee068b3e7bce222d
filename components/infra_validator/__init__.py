"""InfraValidator without containers: serves the export in a process of its own and asks it real questions.

`component.AgNewsInfraValidator` is the stage, `validate` what is asked of the server.
"""
