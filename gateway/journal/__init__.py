"""The access log on its way to the database, safe on this machine's disk first.

entry     one entry or event as one line of JSON, and back
segments  the files: their names, their order, and reading them in batches
writer    appends an entry, before the visitor gets the first byte of an answer
drain     carries entries from the files to the database, each exactly once
adoption  drains what dead processes left behind
lock      who owns a directory: a journal, or the whole of `data_dir`

Every decision has to be on record before it has an effect, so the record is on the path of each
request. A database is too far away for that, and may be down. An `os.write` to a file costs
microseconds, and what it wrote survives the process from that moment on, for it is the kernel's;
a flush to the disk twice a second bounds what the loss of the whole machine can cost.

A journal is one directory, written by one process, under a random name that no other journal on
any machine has had. So a process that starts never has to continue what another one left: a torn
last line, a file that lost its end with the power, a position in the database from before all
have an end, because nothing is ever written after them. Leftovers are recovered in one way, by
whoever finds the directory's lock free.

Entries count exactly once because the rows, the counters and the journal's position are one
transaction, and because that transaction moves the position only from where its batch began: one
that was thought lost and commits late makes the repeated one fail.
"""
