"""What a visitor proves, and what they hold for it.

session  the signed cookies: the session, what is proven so far, the visitor
gates    what happens at each gate
codes    the codes that prove a mail address
cookie   how a cookie is written
backend_cookies  the backend's own cookies, sealed in the visitor's browser
cookie_room      how much room they have there
"""
