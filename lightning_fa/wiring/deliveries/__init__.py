"""The families of rules that cut the graph between blocks: how each of them hands the blocks their errors."""
