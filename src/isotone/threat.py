"""Who can add, remove or set what, and the directions that follow.

- what an attacker can add or raise must never lower the score: increasing;
- what an attacker can remove or lower must never lower the score by going away: decreasing;
- what an attacker sets at will cannot be used at all by a score that is to hold: excluded;
- all else is out of the attacker's reach: free, and said so, since the guarantee stands on it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .directions import DECREASING, FREE, INCREASING, is_name, meant
from .errors import BadInput

_PATTERNS = "*?["
_SHOWN = 3
ROLES = ("adds", "removes", "sets", "trusted")


@dataclass(frozen=True)
class Roles:
    """What each feature is to an attacker; every feature is in one of these, in its own order.

    Args:
        added: can be added or raised.
        removed: can be removed or lowered.
        settable: can be set at will.
        trusted: named as out of reach.
        unnamed: named nowhere, so taken to be out of reach.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    settable: tuple[str, ...]
    trusted: tuple[str, ...]
    unnamed: tuple[str, ...]

    @property
    def covered(self) -> tuple[str, ...]:
        """What no attacker gains by, in sentences."""
        said = []
        if self.added:
            said.append(f"adding or raising any of {_some(self.added)}, in any number and combination")
        if self.removed:
            said.append(f"removing or lowering any of {_some(self.removed)}, in any number and combination")
        if self.settable:
            said.append(f"setting {_some(self.settable)} at will: the score does not look at them")
        return tuple(said)

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What the guarantee says nothing about, in sentences."""
        said = []
        if self.added:
            said.append(f"removing or lowering any of {_some(self.added)}, as packing, rewriting or replacing would")
        if self.removed:
            said.append(f"adding or raising any of {_some(self.removed)}")
        if self.trusted:
            said.append(f"changing {_some(self.trusted)}: named as out of the attacker's reach")
        if self.unnamed:
            said.append(
                f"changing {_some(self.unnamed)}: taken to be out of the attacker's reach, since no role names it"
            )
        return tuple(said)

    def told(self) -> str:
        """Both, as text of a few lines."""
        lines = ["covered:", *(f"  - {line}" for line in self.covered or ("nothing",))]
        lines += ["not covered:", *(f"  - {line}" for line in self.not_covered or ("nothing",))]
        return "\n".join(lines)


@dataclass(frozen=True)
class Threat:
    """What the attacker can do, in names and globs of features; one string stands for a tuple of one.

    The most specific word about a feature counts: its name before a glob, a glob before "*". Of equally specific ones
    `sets` includes `adds` and `removes`; any other two contradict each other.

    Args:
        adds: features that the attacker can add or raise.
        removes: features that the attacker can remove or lower.
        sets: features that the attacker sets at will, such as a timestamp: no score that is to hold can use them.
        trusted: features out of reach. Once it is given, every feature must have a role; while it is None, what no role
            names is taken to be out of reach.

    Source: the three roles of a feature after Fleshman et al. 2018 and Incer et al. (IWSPA 2018).

    >>> Threat(adds="api::*").directions(["api::exec", "age"])
    (1, 0)
    >>> threat = Threat(adds="*", sets="time*", trusted="prevalence")
    >>> threat.kept(["api::exec", "timestamp", "prevalence"])
    ('api::exec', 'prevalence')
    >>> print(threat.roles(["api::exec", "timestamp", "prevalence"]).told())
    covered:
      - adding or raising any of api::exec, in any number and combination
      - setting timestamp at will: the score does not look at them
    not covered:
      - removing or lowering any of api::exec, as packing, rewriting or replacing would
      - changing prevalence: named as out of the attacker's reach
    """

    adds: tuple[str, ...] = ("*",)
    removes: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    trusted: tuple[str, ...] | None = None

    def __init__(
        self,
        adds: str | Iterable[str] = ("*",),
        removes: str | Iterable[str] = (),
        sets: str | Iterable[str] = (),
        trusted: str | Iterable[str] | None = None,
    ) -> None:
        for role, given in (("adds", adds), ("removes", removes), ("sets", sets), ("trusted", trusted)):
            object.__setattr__(self, role, None if given is None else _globs(role, given))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Threat:
        """From a TOML file: the keys `adds`, `removes`, `sets`, `trusted`, at the top or in a table `[threat]`.

        Raises:
            BadInput: no such file, no TOML, a key that is none of these, a value that is no list of names.

        >>> Threat.parse('[threat]\\nadds = ["api::*"]\\ntrusted = "age"')
        Threat(adds=('api::*',), removes=(), sets=(), trusted=('age',))
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise BadInput(f"threat {path}", f"it cannot be read ({fault})", "a TOML file of roles is right") from None
        return cls.parse(text, where=f"threat {path}")

    @classmethod
    def parse(cls, text: str, where: str = "threat") -> Threat:
        """As `load`, from the text itself."""
        try:
            said: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            raise BadInput(where, f"it is no TOML: {fault}", 'such as: adds = ["api::*"]') from None
        if "threat" in said and (strange := sorted(set(said) - {"threat"})):
            right = f"{', '.join(ROLES)} are right, all at the top or all in [threat]"
            raise BadInput(where, f"the key {strange[0]!r} came beside [threat]", right)
        return cls.of(said.get("threat", said), where)

    @classmethod
    def of(cls, roles: Any, where: str = "threat") -> Threat:
        """From a mapping, such as `to_dict` gives.

        Raises:
            BadInput: a key that is no role, a value that is no list of names.
        """
        if not isinstance(roles, Mapping):
            raise BadInput(where, f"{roles!r} came", f"a table of {', '.join(ROLES)} is right")
        if strange := sorted(set(map(str, roles)) - set(ROLES)):
            raise BadInput(where, f"the key {strange[0]!r} came", f"{', '.join(ROLES)} are right")
        return cls(**roles)

    def to_dict(self) -> dict[str, list[str] | None]:
        """Plain lists, for JSON."""
        found: dict[str, list[str] | None] = {}
        for role in ROLES:
            globs = getattr(self, role)
            found[role] = None if globs is None else list(globs)
        return found

    def roles(self, names: Sequence[str]) -> Roles:
        """Each feature's role.

        Raises:
            NoMatch: a glob that matches no feature.
            BadInput: equally specific words that contradict each other; a feature without a role where `trusted` is
                given.
        """
        names = [str(name) for name in names]
        # From the least to the most specific: a later level replaces what an earlier one said of a feature.
        said: dict[str, set[str]] = {}
        for level in range(3):
            here: dict[str, set[str]] = {}
            for role in ROLES:
                for glob in (g for g in getattr(self, role) or () if _specificity(g, names) == level):
                    for name in meant(glob, names, role):
                        here.setdefault(name, set()).add(role)
            said.update(here)
        role_of = {name: _one_role(name, roles) for name, roles in said.items()}
        unnamed = tuple(name for name in names if name not in role_of)
        if self.trusted is not None and unnamed:
            raise BadInput(
                "threat",
                f"{unnamed[0]!r} has no role",
                "every feature has one once trusted= is given",
                f"Name it in {', '.join(ROLES)}.",
            )
        added, removed, settable, trusted = (tuple(n for n in names if role_of.get(n) == role) for role in ROLES)
        return Roles(added, removed, settable, trusted, unnamed)

    def kept(self, names: Sequence[str]) -> tuple[str, ...]:
        """The features that a score may use: all but those that the attacker sets at will."""
        settable = set(self.roles(names).settable)
        return tuple(name for name in map(str, names) if name not in settable)

    def directions(self, names: Sequence[str]) -> tuple[int, ...]:
        """One direction per feature.

        Raises:
            NoMatch, BadInput: as `roles`; or a feature that the attacker sets at will, which has no direction.
        """
        roles = self.roles(names)
        if roles.settable:
            raise BadInput(
                "threat",
                f"{roles.settable[0]!r} is set at will by the attacker",
                "a score that is to hold cannot use it",
                "Leave it out of the features; Threat.kept(names) gives the others.",
            )
        return self.order(names)

    def order(self, names: Sequence[str]) -> tuple[int, ...]:
        """As `directions`, with 0 for what is set at will: only for a score that never looks at those."""
        roles = self.roles(names)
        added, removed = set(roles.added), set(roles.removed)
        return tuple(INCREASING if n in added else DECREASING if n in removed else FREE for n in map(str, names))


def _globs(role: str, given: Any) -> tuple[str, ...]:
    listed = isinstance(given, Iterable) and not isinstance(given, Mapping)
    found = (given,) if isinstance(given, str) or not listed else tuple(given)
    if strange := [g for g in found if not isinstance(g, str)]:
        raise BadInput("threat", f"{role} holds {strange[0]!r}", "names and globs of features are right")
    return found


def _specificity(glob: str, names: Sequence[str]) -> int:
    """0 for "*", 1 for another glob, 2 for a name."""
    glob_like = any(sign in glob for sign in _PATTERNS) and not is_name(glob, names)
    return 0 if glob == "*" else 1 if glob_like else 2


def _one_role(name: str, roles: set[str]) -> str:
    if "trusted" in roles and len(roles) > 1:
        other = min(roles - {"trusted"})
        raise BadInput("threat", f"{name!r} is named in {other} and in trusted", "one role per feature is right")
    if "sets" in roles:
        return "sets"  # what can be set at will can be added and removed too
    if len(roles) > 1:
        raise BadInput(
            "threat",
            f"{name!r} can be both added and removed",
            "then no monotone score can use it",
            "Name it in sets= (--sets), which leaves it out, or narrow the globs.",
        )
    return min(roles)


def _some(names: Sequence[str]) -> str:
    """A few names, and how many more.

    >>> _some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(names) - _SHOWN
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:_SHOWN])} and {more} more"
