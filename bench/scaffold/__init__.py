"""Starting points for plugins: a file that works, its test and its page, to be changed into one's own."""
