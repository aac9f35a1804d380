"""What clients share: what was given, against what is answered; and which members of a shape there are and are used."""


def same(given, answered, where):
    """Everything that was given is answered; what is answered besides is AWS's own."""
    if isinstance(given, dict):
        for name, value in given.items():
            assert name in answered, f"{where}.{name} is lost"
            same(value, answered[name], f"{where}.{name}")
    elif isinstance(given, list) and given and isinstance(given[0], dict):
        assert len(given) == len(answered), f"{where}: {given} became {answered}"
        for n, (one_given, one_answered) in enumerate(zip(given, answered)):
            same(one_given, one_answered, f"{where}[{n}]")
    else:
        assert given == answered, f"{where}: {given!r} became {answered!r}"


def members(shape, path=""):
    if shape.type_name == "list":
        yield from members(shape.member, path)
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield f"{path}{name}"
            yield from members(member, f"{path}{name}.")


def used(value, path=""):
    if isinstance(value, list):
        for item in value:
            yield from used(item, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield f"{path}{name}"
            yield from used(item, f"{path}{name}.")
