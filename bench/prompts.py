"""Twenty prompts: prose, code, lists, other scripts, emoji, surrounding blanks, quotes, numbers and a long text."""

PROMPTS = (
    "The three laws of robotics are",
    "Once upon a time, in a village by the sea, there lived",
    "def fibonacci(n):\n    ",
    "Dear Ms. Alvarez,\n\nThank you for your letter of",
    "A recipe for bread:\n\n1. Mix flour and water.\n2.",
    "Q: What is the capital of France?\nA:",
    "import numpy as np\n\nx = np.",
    "SELECT name, count(*) FROM",
    "日本の首都は",
    "El sol salió sobre las montañas y",
    "Привет! Сегодня мы поговорим о",
    "I love pizza 🍕 and coffee ☕, but most of all",
    "   Leading blanks and a trailing one ",
    '{"name": "Ada", "born": 1815, "field": "',
    "Two plus two is four. Four plus four is eight. Eight plus eight is",
    "The quick brown fox jumps over the lazy dog. " * 8 + "Then the dog",
    "<html>\n<head>\n<title>My page</title>",
    "C:\\Users\\ada\\notes.txt says \\n is not a newline, because",
    "ROMEO: But soft, what light through yonder window breaks?\nJULIET:",
    "\"Stop!\" she cried. 'Why?' he asked, and",
)
