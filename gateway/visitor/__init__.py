"""What a visitor proves, and what they hold for it.

session  the signed cookies: the session, what is proven so far, the visitor
gates    what happens at each gate
codes    the codes that prove a mail address
"""
