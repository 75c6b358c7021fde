"""Where links live: the database that is the truth, and the copies that make it fast.

database    one database, SQLite or PostgreSQL (engines), whose errors become ours (faults)
schema      the tables, and their history (migrations)
changes     the numbered feed of changes: every write of a link takes the next number
links       links, written and read by their owners and looked up by their tokens, with rows,
            listing and domains for its single concerns
resealing   rotation of the secret keys, for every column of sealed texts
claims      rows that are due, for one worker alone, for a time
outbox      mails that are on their way
inserts     an INSERT that leaves alone what is there, in both databases' words
uses        the uses of a limited link, spent by one conditional write
keys        the admin API's keys
absorbing   what the journal holds, entered and counted
access_log  the access log, read and deleted
events      what somebody wants to be told of, until it is told
deliveries  webhooks that have not arrived yet
logos       the logos that links name, once they have been fetched
redis       the connection to Redis, real or embedded
cache       links in memory and in Redis, and how soon a change is known
throttle    how often something may be tried
"""
