"""How far a law can be trusted: runs held out from one's own sweep, and simulation-based calibration."""
