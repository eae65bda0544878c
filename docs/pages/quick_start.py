"""Print the Python code of docs/index.md as one script, which needs only the package."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "index.md"

if __name__ == "__main__":
    print("\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)))
