"""What a claim is, what is measured for it, and the verdict on it: plain numbers, no training."""
