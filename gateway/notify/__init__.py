"""How the gateway reaches people who are not looking at it.

server    the mail server, as `smtp_url` names it
mail      hands mails to it
messages  what the mails say
"""
