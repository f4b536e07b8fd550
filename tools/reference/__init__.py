"""Write ``docs/reference.md`` from what it describes: settings, commands, metrics, resources and their conditions."""
