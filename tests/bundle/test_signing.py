"""`toolkit bundle --sign` and `toolkit verify`: what was signed, whole, and nothing beside."""

import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.tiny_package import write_tiny_package
from toolkit import bundle, verify
from toolkit.bundle import BundleOptions
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError, SetupError

PASSWORD = "a secret of tests"  # noqa: S105 - of keys made here


def write_keys(
    folder: Path,
    name: str = "private",
    *,
    kind: Callable[[], Any] = lambda: ec.generate_private_key(ec.SECP256R1()),
    encryption: KeySerializationEncryption | None = None,
) -> tuple[Path, Path]:
    """A private and a public key, as openssl writes them."""
    key = kind()
    private, public = folder / f"{name}.pem", folder / f"{name}.public.pem"
    encrypted = encryption or NoEncryption()
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted))
    subject = PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, subject))
    return private, public


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys and the signed bundle "app"."""
    folder = tmp_path_factory.mktemp("signed")
    private, _ = write_keys(folder)
    package = write_tiny_package(folder / "tiny.ortpackage").path
    report = bundle(
        package, target="python", output=folder / "app", options=BundleOptions(sign=private)
    )
    assert report.signed
    assert "model.sig" in {part.path for part in report.parts}
    return folder


@pytest.fixture
def signed(made: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def key(folder: Path) -> Path:
    return folder / "private.public.pem"


def test_a_bundle_is_as_it_was_signed_after_its_self_test_and_elsewhere(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = (signed / "app").rename(signed / "moved")
    subprocess.run(
        [sys.executable, "app.py", "--self-test"], cwd=place, check=True, capture_output=True
    )
    assert main(["verify", str(place), "--key", str(key(signed)), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert next(iter(said)) == "schema_version"
    assert said["verified"] is True
    there = {file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file()}
    assert {one["path"] for one in said["files"]} == there - {"model.sig"}
    assert main(["verify", str(place), "--key", str(key(signed))]) == 0
    assert f"{len(said['files'])} files" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["app.py", "model/model.onnx", "model/model.json", "NOTICE.txt"])
def test_a_changed_file_is_named(
    name: str, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = signed / "app" / name
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    assert main(["verify", str(signed / "app"), "--key", str(key(signed)), "--json"]) == 5
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{name} was changed" in captured.err


@pytest.mark.parametrize(
    "name",
    [".gitignore", ".git/hooks/post-checkout", "model/.hidden", "__pycache__/app.cpython-311.pyc"],
)
def test_an_added_file_is_named_wherever_it_hides(name: str, signed: Path) -> None:
    file = signed / "app" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    with pytest.raises(CheckFailedError, match="was added") as caught:
        verify(signed / "app", key=key(signed))
    assert name in caught.value.problem


def test_a_removed_file_and_a_renamed_one_are_named(signed: Path) -> None:
    (signed / "app" / "README.md").rename(signed / "app" / "READ.md")
    with pytest.raises(CheckFailedError, match=r"README\.md is missing, READ\.md was added"):
        verify(signed / "app", key=key(signed))


def test_a_link_does_not_pass(signed: Path) -> None:
    file = signed / "app" / "README.md"
    file.rename(signed / "README.md")
    file.symlink_to(signed / "README.md")
    with pytest.raises(CheckFailedError, match=r"README\.md"):
        verify(signed / "app", key=key(signed))


def test_another_key_does_not_verify(signed: Path) -> None:
    _, other = write_keys(signed, "other")
    with pytest.raises(CheckFailedError, match="another key"):
        verify(signed / "app", key=other)


def edit(signature: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(signature.read_text())
    change(content)
    signature.write_text(json.dumps(content))


def test_a_signature_whose_statement_was_rewritten_does_not_pass(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its hint the library even prints a remark, which must not reach stdout."""
    (signed / "app" / "app.py").write_text("print('mine')")

    def forge(content: dict[str, Any]) -> None:
        envelope = content["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        for one in statement["predicate"]["resources"]:
            one["digest"] = "0" * 64
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        del content["verificationMaterial"]["publicKey"]["hint"]

    edit(signed / "app" / "model.sig", forge)
    assert main(["verify", str(signed / "app"), "--key", str(key(signed))]) == 5
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "another key, or changed" in captured.err


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "not JSON", '{"dsseEnvelope": 3}'])
def test_a_signature_that_is_none_does_not_pass(content: str, signed: Path) -> None:
    (signed / "app" / "model.sig").write_text(content)
    with pytest.raises(CheckFailedError, match=r"model\.sig"):
        verify(signed / "app", key=key(signed))


def test_a_folder_without_a_signature_is_bad_input(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed / "app" / "model.sig").unlink()
    assert main(["verify", str(signed / "app"), "--key", str(key(signed))]) == 3
    assert "has no model.sig" in capsys.readouterr().err
    assert main(["verify", str(signed / "nothing"), "--key", str(key(signed))]) == 3


def test_a_key_that_cannot_be_read_is_bad_input(signed: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pem cannot be read"):
        verify(signed / "app", key=signed / "missing.pem")
    with pytest.raises(InputError, match=r"private\.pem cannot be used") as caught:
        verify(signed / "app", key=signed / "private.pem")
    assert "openssl ec -in private.pem -pubout" in caught.value.fix


@pytest.mark.parametrize(
    "kind",
    [
        lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        lambda: ec.generate_private_key(ec.SECP256K1()),
    ],
)
def test_a_key_of_another_kind_is_refused_before_anything_is_written(
    kind: Callable[[], Any], signed: Path
) -> None:
    private, _ = write_keys(signed, "other", kind=kind)
    with pytest.raises(InputError, match=r"other\.pem cannot be used: .*curve") as caught:
        bundle(
            signed / "tiny.ortpackage",
            target="python",
            output=signed / "new",
            options=BundleOptions(sign=private),
        )
    assert "P-256" in caught.value.expected
    assert not (signed / "new").exists()


def test_an_encrypted_key_takes_its_password_from_the_environment(
    signed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encryption = BestAvailableEncryption(PASSWORD.encode())
    private, public = write_keys(signed, "locked", encryption=encryption)
    typed = ["bundle", str(signed / "tiny.ortpackage"), "--target", "python", "--no-self-test"]
    typed += ["-o", str(signed / "new"), "--sign", str(private), "-q"]
    for password in ("", "another"):
        monkeypatch.setenv("TOOLKIT_SIGN_PASSWORD", password)
        assert main(typed) == 3
        assert "TOOLKIT_SIGN_PASSWORD" in capsys.readouterr().err
        assert not (signed / "new").exists()
    monkeypatch.setenv("TOOLKIT_SIGN_PASSWORD", PASSWORD)
    assert main(typed) == 0
    assert main(["verify", str(signed / "new"), "--key", str(public)]) == 0


def test_nothing_goes_to_the_network(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> Any:
        raise AssertionError(f"the network was asked for {arguments}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    bundle(
        signed / "tiny.ortpackage",
        target="python",
        output=signed / "new",
        options=BundleOptions(sign=signed / "private.pem"),
    )
    assert verify(signed / "new", key=key(signed)).files


def test_the_library_is_loaded_only_to_sign_and_verify(signed: Path) -> None:
    code = (
        "import sys; from toolkit import bundle, verify; from toolkit.bundle import BundleOptions;"
        "bundle(sys.argv[1], target='python', output=sys.argv[2],"
        " options=BundleOptions(self_test=False));"
        "sys.exit('model_signing' in sys.modules or 'sigstore' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, signed / "tiny.ortpackage", signed / "new"], check=True
    )


def test_a_missing_library_names_the_extra(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("model_signing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(SetupError) as caught:
        verify(signed / "app", key=key(signed))
    assert "[bundle]" in caught.value.fix
    typed = ["verify", str(signed / "app"), "--key", str(key(signed))]
    assert main(typed) == 4


def test_another_folder_that_the_library_signed_is_verified_too(signed: Path) -> None:
    """With its own command, which leaves git's files out, and says so in the signature."""
    from model_signing import signing

    package = signed / "tiny.ortpackage"
    (package / ".gitignore").write_text("*")
    config = signing.Config().use_elliptic_key_signer(private_key=signed / "private.pem")
    config.sign(package, package / "model.sig")
    assert "manifest.json" in verify(package, key=key(signed)).files
    (package / "manifest.json").write_text("{}")
    with pytest.raises(CheckFailedError, match=r"manifest\.json was changed"):
        verify(package, key=key(signed))
