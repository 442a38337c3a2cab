"""`toolkit bundle`: what every target has in common."""
