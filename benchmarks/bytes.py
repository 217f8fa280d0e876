"""On bytes of real programs, what does the guarantee of a byte network cost, and what does it withstand?

The ELF programs of some folders. With `--label planted`, half of them get two blocks out of a few evil ones, at
multiples of 512, and most others a block out of a few harmless ones, all with a tenth of their bytes drawn anew: what
attacks do to networks that detect well. With `--label network`, by whether they can open a network connection, the
names that make the label hidden as in the project's own data set: a hard question for so few files. Split by source
package. Guaranteed networks beside their unconstrained twins and a MalConv with the same encoder; each is attacked
where it detects. Figures depend on what is installed: they are for looking, the project's own data set is for judging.

    python benchmarks/bytes.py [/usr/bin /usr/sbin ...] [--label planted] [--most 200] [--seeds 2] [--out file.json]
"""

import argparse
import importlib.util
import io
import re
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from _tabular import records
from elftools.elf.elffile import ELFFile
from torch import nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.attack import ByteVictim, Insert, bytes_benign, bytes_genetic, bytes_optimised, bytes_windows
from isotone.bounds import byte_certificate
from isotone.byte_files import ByteRecipe, train_bytes
from isotone.data import hide_names, split
from isotone.evaluation import auc, detection, threshold_at
from isotone.nn import ByteNetwork

BUILD = Path(isotone.__file__).parent / "datasets" / "debian_programs" / "build.py"
RATE = 0.05  # of false alarms; a few dozen negatives on a side support no less
CHANNELS, WINDOW, HIDDEN = 64, 512, 32
LONGEST = 2**16  # bytes of a program; what MalConv pads to leaves room for additions
PADDED = LONGEST + 2**16
RECIPE = {"epochs": 8, "patience": 8, "batch_size": 8, "learning_rate": 3e-3}


class MalConv(nn.Module):
    """Padded to one length with a byte of its own, two logits."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(257, 8)
        self.convolution = nn.Linear(WINDOW * 8, 2 * CHANNELS)
        self.head = nn.Sequential(nn.Linear(CHANNELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))

    def of_embedded(self, z):
        a, b = self.convolution(z.reshape(len(z), -1, WINDOW * 8)).chunk(2, dim=2)
        logits = self.head((a.relu() * b.sigmoid()).amax(dim=1))
        return logits[:, 1] - logits[:, 0]

    def forward(self, files):
        padded = [F.pad(file[:PADDED].int(), (0, max(0, PADDED - len(file))), value=256) for file in files]
        return torch.cat([self.of_embedded(self.embedding(x)[None]) for x in padded])

    def victim(self):
        def of_embedded(z):
            padding = self.embedding.weight[256].expand(max(0, PADDED - len(z)), -1)
            return self.of_embedded(torch.cat([z[:PADDED], padding])[None])[0]

        return ByteVictim(self, self.embedding.weight.detach(), of_embedded)


def ours(monotone=True, context=0):
    return ByteNetwork(CHANNELS, WINDOW, hidden=(HIDDEN,), monotone=monotone, context=context)


# fmt: off
MODELS = {
    "guaranteed":        ours,
    "guaranteed, gated": lambda: ours(context=16),
    "twin":              lambda: ours(monotone=False),
    "twin, gated":       lambda: ours(monotone=False, context=16),
    "MalConv":           MalConv,
}
ATTACKS = {
    "benign content, appended": lambda *a: bytes_benign(*a, sizes=(4096, 32768), tries=4),
    "benign content, inserted": lambda *a: bytes_benign(*a, sizes=(4096, 32768), tries=4, room=Insert()),
    "optimised bytes":          lambda *a: bytes_optimised(*a, size=4096, steps=40, restarts=4, room=Insert()),
    "benign windows":           lambda *a: bytes_windows(*a, size=4096, candidates=6),
    "genetic sections":         lambda *a: bytes_genetic(*a, generations=8, room=Insert()),
}
# fmt: on


def facts_of_build():
    spec = importlib.util.spec_from_file_location("build", BUILD)
    module = importlib.util.module_from_spec(spec)
    sys.modules["build"] = module
    spec.loader.exec_module(module)
    return module


def sources():
    """Path -> source package, from what dpkg has installed."""
    of_package = {}
    for stanza in Path("/var/lib/dpkg/status").read_text(errors="replace").split("\n\n"):
        name, source = (re.search(rf"^{field}: (\S+)", stanza, re.MULTILINE) for field in ("Package", "Source"))
        if name:
            of_package[name[1]] = (source or name)[1]
    found = {}
    for listing in Path("/var/lib/dpkg/info").glob("*.list"):
        source = of_package.get(listing.stem.split(":")[0], listing.stem)
        found.update(dict.fromkeys(listing.read_text(errors="replace").splitlines(), source))
    return found


def programs(folders, most):
    """(bytes, label, source package) of stripped ELF programs, the names of the label hidden.

    Zeros in place of a name would be a trace that says as much, and a table of symbols would name it a second time.
    """
    build, source_of = facts_of_build(), sources()
    seen, found = set(), []
    for path in sorted({p for folder in folders for p in Path(folder).glob("*") if p.is_file()}):
        real = path.resolve()
        if real in seen or not 1024 <= real.stat().st_size <= LONGEST:
            continue
        seen.add(real)
        data = real.read_bytes()
        if data[:4] != b"\x7fELF":
            continue
        elf = ELFFile(io.BytesIO(data))
        symbols = elf.get_section_by_name(".dynsym")
        if symbols is None or elf.get_section_by_name(".symtab") is not None:
            continue
        imports = {s.name.split("@")[0] for s in symbols.iter_symbols() if s["st_shndx"] == "SHN_UNDEF" and s.name}
        if len(imports) < build.FEWEST_IMPORTS:
            continue
        hidden = hide_names(data, build.MASKED)
        source = source_of.get(str(path)) or source_of.get(str(path).removeprefix("/usr")) or real.name
        found.append(
            (torch.frombuffer(bytearray(hidden), dtype=torch.uint8), int(bool(imports & build.NETWORK)), source)
        )
    order = np.random.default_rng(0).permutation(len(found))
    networked = [found[i] for i in order if found[i][1]][: most // 3]
    return networked + [found[i] for i in order if not found[i][1]][: most - len(networked)]


def planted(found, seed=0):
    """The same programs with blocks inserted, and labels that go by them."""
    rng, whole = torch.Generator().manual_seed(seed), []
    kinds = torch.randint(0, 256, (2, 5, WINDOW), generator=rng, dtype=torch.uint8)  # harmless, evil
    for number, (carrier, _, source) in enumerate(found):
        file, label = carrier, number % 2
        chance = 1.0 if label else 0.9
        for _ in range(2 if label else 1):
            if torch.rand((), generator=rng) < chance:
                block = kinds[label, int(torch.randint(0, 5, (), generator=rng))].clone()
                anew = torch.rand(WINDOW, generator=rng) < 0.1
                block[anew] = torch.randint(0, 256, (int(anew.sum()),), generator=rng, dtype=torch.uint8)
                at = int(torch.randint(0, len(file) // WINDOW + 1, (), generator=rng)) * WINDOW
                file = torch.cat([file[:at], block, file[at:]])
        whole.append((file, label, source))
    return whole


def train_malconv(model, training, seed):
    files, labels = training
    weight = torch.tensor(float((labels == 0).sum() / labels.sum()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE["learning_rate"], weight_decay=0.01)
    random = np.random.default_rng(seed)
    for _ in range(RECIPE["epochs"]):
        order = random.permutation(len(files))
        for start in range(0, len(order), RECIPE["batch_size"]):
            at = order[start : start + RECIPE["batch_size"]]
            wanted = torch.from_numpy(labels[at]).float()
            loss = F.binary_cross_entropy_with_logits(model([files[i] for i in at]), wanted, pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()


def judged(name, sides, seed):
    torch.manual_seed(seed)
    model, start = MODELS[name](), time.process_time()
    training, validation, test = sides
    if isinstance(model, ByteNetwork):
        model.centre_(training[0][:64], 0.5)
        train_bytes(model, training, validation, ByteRecipe(seed=seed, **RECIPE))
        victim = ByteVictim.of(model)
    else:
        train_malconv(model, training, seed)
        victim = model.victim()
    seconds = time.process_time() - start
    with torch.no_grad():
        scores = [victim.score(files).double().numpy() for files, _ in (validation, test)]
    threshold = threshold_at(scores[0][validation[1] == 0], RATE)
    bad = [file for file, label in zip(*test, strict=True) if label]
    benign = [file for file, label in zip(*validation, strict=True) if not label][:20]
    found = {
        "model": name, "seed": seed, "cpu_seconds": seconds, "auc": auc(scores[1], test[1]),
        "detection": detection(scores[1], test[1], threshold), "attacks": {},
    }  # fmt: skip
    evaded = torch.zeros(len(bad), dtype=torch.bool)
    for attack, run in ATTACKS.items():
        if victim.table is None and attack == "optimised bytes":
            continue
        result = run(victim, bad, threshold, benign)
        evaded |= result.evaded
        found["attacks"][attack] = {"detected": int(result.victims.sum()), "evaded": int(result.evaded.sum()),
                                    "lowered": int(result.lowered.sum())}  # fmt: skip
    found["evaded_by_any"] = int(evaded.sum())
    found["detected"] = int(result.victims.sum())
    if isinstance(model, ByteNetwork):
        found["certificate"] = byte_certificate(model).verdict.value
    return found


def table(runs):
    """The lines of docs/bytes.md: splits side by side, victims and evasions added up."""
    lines = ["| model | AUC | victims | evaded by any | strongest |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == name]
        by_attack = Counter()
        for run in own:
            by_attack.update({attack: said["evaded"] for attack, said in run["attacks"].items()})
        attack, most = by_attack.most_common(1)[0]
        evaded, victims = (sum(run[key] for run in own) for key in ("evaded_by_any", "detected"))
        aucs = ", ".join(f"{run['auc']:.3f}" for run in own)
        lines.append(f"| {name} | {aucs} | {victims} | {evaded} | {f'{attack}, {most}' if most else 'none'} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", default=["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu"])
    parser.add_argument("--label", choices=("planted", "network"), default="planted")
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = programs(given.folders, given.most)
    if given.label == "planted":
        found = planted(found)
    labels, groups = np.array([label for _, label, _ in found]), np.array([source for *_, source in found])
    size = sum(len(file) for file, *_ in found) / 2**20
    print(f"{len(found)} programs, {size:.0f} MB, of {len(set(groups))} source packages: {Counter(labels.tolist())}")
    runs = []
    for seed in range(given.seeds):
        parts = split(labels, groups, seed=seed)
        sides = [([found[i][0] for i in at], labels[at]) for at in (parts.train, parts.validation, parts.test)]
        for name in MODELS:
            runs.append(judged(name, sides, seed))
            r = runs[-1]
            said = ", ".join(f"{attack} {a['evaded']}" for attack, a in r["attacks"].items())
            any_ = f"evaded by any {r['evaded_by_any']}/{r['detected']} ({said})"
            judgement = f"AUC {r['auc']:.3f}  detection {r['detection']:.2f}  {r.get('certificate', '')}"
            print(f"seed {seed}  {name:18} {judgement}  {any_}", flush=True)
        if given.out:
            facts = {
                "label": given.label,
                "programs": len(found),
                "positives": int(labels.sum()),
                "sources": len(set(groups)),
                "runs": runs,
            }
            command = f"python benchmarks/bytes.py --label {given.label} --most {given.most} --seeds {given.seeds}"
            records.keep(given.out, command, facts)
    print(table(runs))


if __name__ == "__main__":
    main()
