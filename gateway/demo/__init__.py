"""The sample work-order system: what stands behind the gateway in `portal-gateway demo`.

The invented Alder & Quay Facility Services keeps a few work orders. Their system knows nothing of
links: it shows every record to anybody who reaches it, as systems inside a company do. It only
reads the `X-Portal-*` headers to leave out forms that a visitor could not send anyway.

records    work orders, comments, files and history, in memory
sample     the work orders that it starts with
uploads    the contents of files, in a folder
viewer     who is looking, by the headers
render     templates
orders     pages and forms of one work order, and an index for the people inside
transfers  files on their way in and out
backend    the application: the routes of the default table
run        the demo itself: this backend, the gateway in front of it, and links that show each rule

Kept simple on purpose: a restart forgets everything but the folder.
"""
