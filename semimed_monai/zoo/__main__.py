"""Check, pack, serve and fetch bundles.

    python -m semimed_monai.zoo check
    python -m semimed_monai.zoo build --out zoo
    python -m semimed_monai.zoo serve zoo
    python -m semimed_monai.zoo list --from http://127.0.0.1:8000
    python -m semimed_monai.zoo fetch NAME==VERSION --from http://127.0.0.1:8000 --to my_bundles
    python -m semimed_monai.zoo push OWNER --to huggingface --dry-run

Each has its own --help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version
from tqdm import tqdm

import semimed_monai
from semimed_monai.messages import end_when_told
from semimed_monai.zoo.building import build
from semimed_monai.zoo.bundles import find_bundles
from semimed_monai.zoo.checks import check
from semimed_monai.zoo.fetching import fetch
from semimed_monai.zoo.index import Entry, Index
from semimed_monai.zoo.pushing import TARGETS, push
from semimed_monai.zoo.serving import HOST, PORT, open_server
from semimed_monai.zoo.store import Store

BUILT = Path("zoo")
_ADDRESS = f"http://{HOST}:{PORT}"


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command line asks for; exit code 1 with one message for what is wrong, 130 after Ctrl-C."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        failed = given.do(given)
    except (ImportError, OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped\n")
    if failed:
        parser.exit(1)


def _check(given: argparse.Namespace) -> bool:
    bundles = find_bundles(given.bundles)
    count = 0
    for bundle in tqdm(bundles, desc="checking", unit="bundle", file=sys.stderr, disable=None, leave=False):
        for finding in check(bundle, given.weights, given.quick):
            tqdm.write(str(finding), file=sys.stdout)
            count += 1
    _say(f"{count or 'no'} fault{'' if count == 1 else 's'} in {len(bundles)} bundle{'' if len(bundles) == 1 else 's'}")
    return bool(count)


def _build(given: argparse.Namespace) -> None:
    index = build(find_bundles(given.bundles), given.out, given.url, given.wheel)
    for entry in index.entries:
        _say(f"{given.out / entry.file}  {entry.size} bytes  sha256 {entry.sha256}")
    for wheel in index.wheels:
        _say(f"{given.out / wheel.file}  {wheel.size} bytes  sha256 {wheel.sha256}")


def _serve(given: argparse.Namespace) -> None:
    with open_server(given.folder, given.port, given.host) as server:
        host, port = server.server_address[:2]
        _say(f"{given.folder} is served at http://{host!s}:{port}/ until Ctrl-C")
        server.serve_forever()


def _list(given: argparse.Namespace) -> None:
    index = Index.read(Store(given.source))
    for latest in index.latest():
        older = [entry.version for entry in index.entries if entry.name == latest.name and entry != latest]
        more = f" (also {', '.join(older)})" if older else ""
        _say(f"{latest.name} {latest.version}{more}  {latest.size / 1e6:.1f} MB  {latest.task}")


def _fetch(given: argparse.Namespace) -> None:
    store = Store(given.source)
    folder, entry = fetch(given.wanted, store, given.to)
    _say(f"{entry.name} {entry.version} is in {folder}")
    if _is_newer(entry):
        _say(f"it was packed with a newer library: pip install {store.address(entry.wheel)}")


def _push(given: argparse.Namespace) -> None:
    push(given.zoo, given.to, given.repository, given.dry_run, _say)


def _is_newer(entry: Entry) -> bool:
    """Whether the wheel beside the bundle is of a later library than this one."""
    return parse_wheel_filename(entry.wheel)[1] > Version(semimed_monai.__version__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.zoo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, do: Callable[[argparse.Namespace], object], does: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=does, description=does)
        command.set_defaults(do=do)
        return command

    checking = add("check", _check, "find what is wrong with bundles: a line each, and exit code 1 if there is any")
    _add_bundles(checking)
    checking.add_argument("--weights", action="store_true", help="models/model.pt must be there")
    checking.add_argument("--quick", action="store_true", help="look at files only, and build no network")
    packing = add("build", _build, "pack bundles, with the library's wheel and a catalogue, into a folder")
    _add_bundles(packing)
    packing.add_argument("--out", type=Path, default=BUILT, help=f"the folder (default {BUILT})")
    packing.add_argument("--url", default=_ADDRESS, help=f"where it will be served, for model_info.json ({_ADDRESS})")
    packing.add_argument("--wheel", type=Path, metavar="FILE", help="the library's; without, it is built")
    serving = add("serve", _serve, "serve a built folder over HTTP")
    serving.add_argument("folder", type=Path, nargs="?", default=BUILT, help=f"what `build` wrote (default {BUILT})")
    serving.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 takes a free one")
    serving.add_argument("--host", default=HOST, help=f"default {HOST}, which only this machine reaches")
    listing = add("list", _list, "list what a built zoo has")
    _add_source(listing)
    fetching = add("fetch", _fetch, "get a bundle out of a built zoo")
    fetching.add_argument("wanted", metavar="NAME[==VERSION]", help="the latest without a version")
    _add_source(fetching)
    fetching.add_argument("--to", type=Path, default=Path(), help="the folder for its folder NAME (default: here)")
    pushing = add("push", _push, "put a built zoo's latest bundles on the Hugging Face hub or into a GitHub release")
    pushing.add_argument("repository", help="OWNER for huggingface, OWNER/REPOSITORY/TAG for github")
    pushing.add_argument("--to", choices=TARGETS, required=True)
    pushing.add_argument("--zoo", type=Path, default=BUILT, help=f"what `build` wrote (default {BUILT})")
    pushing.add_argument("--dry-run", action="store_true", help="only say what would be done")
    return parser


def _add_bundles(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "bundles", nargs="*", metavar="BUNDLE", help="its folder, or its name in bundles/ (default: all in there)"
    )


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument("--from", dest="source", required=True, metavar="URL_OR_FOLDER", help="the built zoo")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a command


if __name__ == "__main__":
    end_when_told()
    main()
