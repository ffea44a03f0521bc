"""The method: drafter modules, sequential heads, confidence, scheduler, calibration."""
