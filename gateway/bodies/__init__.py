"""Bodies that are judged before they are sent: pure, of bytes as they arrive in any pieces.

What two programs could read differently is refused and never repaired, so that what was judged is
what the backend reads.

media_type  what the body says that it is: the one parse of `Content-Type`
fitting     the judged fields as they are found, and the verdict on them
urlencoded  a form as browsers send it by default
json_text   a JSON document: its judged members, each exactly once
part_head   the head of one part of a multipart form
multipart   the scanner of a multipart form, which keeps no more than a part's head
judges      which of these a body needs: feed it, and it raises what is wrong
"""
