"""Arrays in the world: grids, masks, components and distances. No files."""
