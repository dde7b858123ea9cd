"""Cases in the report: which are shown, their snapshots, and the data of the viewer."""
