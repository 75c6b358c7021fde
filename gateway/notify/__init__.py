"""How the gateway reaches people who are not looking at it.

texts           the words of a mail, in text and HTML, in the reader's language
letter          a mail as the mail server gets it: composed once, the same at every try
codes           codes, into the outbox
notifications   what an owner is told, for the outbox
delivery        out of the outbox: what is due is sent, until it is of no use any more
mail            hands letters over, on kept connections
smtp            one connection to the mail server
server          the mail server, as `smtp_url` names it
gathering       turns events into webhooks at once, and into mails a little later
webhooks        whose webhooks there are, what they say, and how they are signed
webhook_sender  sends them, until they have arrived
"""
