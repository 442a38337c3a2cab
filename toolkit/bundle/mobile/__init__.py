"""What the targets `android` and `ios` have in common: fixed shapes, a graph for a reduced build."""
