"""Signs versions in the OpenSSF model-signing format, so that an auditor's own tool can verify them.

The signature is the file `model.sig` in the version's directory. `model_signing verify key` or `verify certificate`
checks it. Source of the format: sigstore/model-transparency. Keyless signatures are not offered: they need a log-in in
a browser or a cloud's identity at every push.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from schema.errors import SettingsError
from schema.files import read_small_file
from schema.model_contract import MODEL_SIGNATURE
from schema.paths import is_remote


@dataclass(frozen=True)
class SigningFiles:
    """The files of a signer, all as PEM.

    Attributes:
        key: private elliptic-curve key (P-256, P-384 or P-521) without a password.
        certificate: certificate of the key; None signs with the key alone.
        chain: certificate of the authority that issued it; None if the verifier has it.
    """

    key: str
    certificate: str | None = None
    chain: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SigningFiles":
        return cls(**json.loads(text))


def openssf_signer(files: SigningFiles, destination: str) -> Callable[[Path], None]:
    """Reads the signer's files.

    Args:
        files: files of the signer.
        destination: directory or URI of the pushed versions.

    Returns:
        A function that writes `model.sig` into a version's directory.

    Raises:
        SettingsError: the package is not installed, a file cannot be used, or the destination is not on a disk.
    """
    if is_remote(destination):
        raise SettingsError("promotion.openssf_key_file: only versions in a local pusher.destination are signed so")
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise SettingsError(
            "promotion.openssf_key_file needs the package model-signing: install agnews-pipeline[signing]"
        ) from error
    config = signing.Config()
    named = [file for file in (files.key, files.certificate, files.chain) if file]
    try:
        for file in named:
            read_small_file(Path(file))  # The package would read a device without an end.
        if files.certificate is None:
            config.use_elliptic_key_signer(private_key=files.key)
        else:
            chain = [files.chain] if files.chain else []
            config.use_certificate_signer(
                private_key=files.key, signing_certificate=files.certificate, certificate_chain=chain
            )
    # The package reads an attribute that only elliptic-curve keys have.
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"promotion.openssf_key_file: {', '.join(named)} cannot be used for signatures: {error}; "
            "openssl ecparam -name prime256v1 -genkey -noout -out FILE makes a key"
        ) from error

    def sign(directory: Path) -> None:
        signature = directory / MODEL_SIGNATURE
        ignored = hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)
        config.set_hashing_config(ignored).sign(directory, signature)

    return sign
