"""The family of rules that sends the error down layer by layer, through a backward weight in place of W."""
