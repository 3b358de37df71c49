"""The review loop: labels go to people in the tool of their choice, and their verdicts come back.

Which labels (`sampling`), what people see (`tasks`), a module for each tool, what several people say
together (`votes`), and what the sample tells of the whole corpus (`estimate`). A new tool is a module listed in
`tools.TOOLS`. No torch.
"""
