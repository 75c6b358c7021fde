"""What is known about a request before anything is decided: pure functions of what was sent.

client_ip  the visitor's address, past the proxies that are trusted
path       the one parse of the request's target; what is ambiguous is refused
host       the one parse of `Host`
origin     whether an unsafe request comes from a page of this host
token      a link's token where none belongs
agent      what the headers say of whoever reads the answer: a page, a prefetch, or nobody
bots       programs that say that nobody is looking
reader     the same in one value
mail_address  a mail address in its one spelling
remembered  what follows from short texts is found out once
scope      all of it in one value
"""
