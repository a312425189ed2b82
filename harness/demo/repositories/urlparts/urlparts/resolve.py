"""Find out where a link leads."""

from urlparts.url import join, split


def resolve(base, link):
    """The URL of a link on the page base; what the link does not say is taken from base."""
    page, to = split(base), split(link)
    if to.scheme:
        return join(to._replace(path=remove_dots(to.path)))
    if to.host:
        return join(to._replace(scheme=page.scheme, path=remove_dots(to.path)))
    if not to.path:
        return join(page._replace(query=to.query or page.query, fragment=to.fragment))
    path = to.path if to.path.startswith("/") else folder(page) + to.path
    return join(to._replace(scheme=page.scheme, host=page.host, path=remove_dots(path)))


def folder(url):
    """The path of a Url up to its last slash."""
    if url.host and not url.path:
        return "/"
    start, slash, _ = url.path.rpartition("/")
    return start + slash


def remove_dots(path):
    """Follow the . and .. in a path; .. at the top has no effect."""
    kept = []
    for name in path.split("/"):
        if name == "..":
            if kept and kept != [""]:
                kept.pop()
        elif name != ".":
            kept.append(name)
    if path.endswith(("/.", "/..")):
        kept.append("")
    return "/".join(kept)
