"""Portal Gateway: what a visitor meets.

A request's way, in order:

 1. `listener`    the connection: bounded, timed, parsed; what is not HTTP never gets further
 2. `request`     what the request says, parsed once: the address, the host, the path, the origin
 3. `store.cache` the link that the token names, from memory, Redis or the database
 4. `visitor`     the session, or what has been proven at the gates so far
 5. `links`       the routes, and the rules: facts in, verdict out
 6. `bodies`      where a row judges the body: what it says of the record
 7. `journal`     the decision is entered before anybody learns of it
 8. `proxy`       the way to the backend and back; or
    `refusals`    a page or JSON that says why not

`handler` puts these in order, `steps` are its single steps; `worker` does what needs no visitor;
`app` builds all of it from the settings, and `cli` is the command line.
"""
