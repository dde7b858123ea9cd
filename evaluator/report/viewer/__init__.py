"""The volume viewer: NiiVue, and how its script is obtained."""
