"""How sites join, and the rows that administrators write.

Every act enters the audit log before its effect.
"""

from __future__ import annotations

from dataclasses import replace

from broker.core.messages import (
    Approve,
    CreateToken,
    Done,
    Join,
    Joined,
    PutRow,
    Refusal,
    Reply,
)
from broker.core.rows import Dataset, JoinToken, PendingJoin, Site, Tenant
from broker.core.transaction import Transaction


def on_create_token(tx: Transaction, event: CreateToken) -> Reply:
    """Keep a join token's hash; tokens past their time make room."""
    for token in [t for t in tx.state.tokens.values() if _over(t, tx)]:
        tx.delete(token.key)
    if len(tx.state.tokens) >= tx.limits.tokens_max:
        return Refusal("TooManyTokens", "too many join tokens are open", "RESOURCE_EXHAUSTED")
    tx.audit(event.actor, "token.create", f"site/{event.token.site}", event.token.id)
    tx.put(event.token)
    return Done()


def _over(token: JoinToken, tx: Transaction) -> bool:
    """No use of it can succeed any more: one that was used waits for its approval."""
    if token.key_sha256:
        return tx.now.wall >= token.used_at + tx.limits.approval_seconds
    return tx.now.wall >= token.expires_at


def on_join(tx: Transaction, event: Join) -> Reply:
    """Check the token, bind it to the key, and keep the request until it is approved."""
    token = tx.state.tokens.get(event.token_id)
    if token is None or token.secret_sha256 != event.secret_sha256:
        # Not audited: anybody can call here, and the log must not grow at their will.
        return _token_refused("TokenUnknown", "this join token is not known")
    refusal = _token_refusal(tx, token, event)
    if refusal is not None:
        return refusal
    pending = tx.state.joins.get(event.site)
    if not token.key_sha256:
        tx.put(replace(token, key_sha256=event.key_sha256, used_at=tx.now.wall))
        tx.audit(f"site/{event.site}", "join.request", f"site/{event.site}", event.fingerprint)
        pending = PendingJoin(
            event.site, event.csr_pem, event.fingerprint, tx.now.wall, event.token_id
        )
        tx.put(pending)
    if pending is None or pending.fingerprint != event.fingerprint:
        return Refusal("TokenUsed", "a newer request took this one's place", "PERMISSION_DENIED")
    return Joined(pending.fingerprint, pending.certificate_pem)


def _token_refusal(tx: Transaction, token: JoinToken, event: Join) -> Refusal | None:
    """Why this token does not open the door, if so."""
    if token.site != event.site:
        message = f"this token is for another site than {event.site}"
        return _token_refused("TokenWrongSite", message)
    if token.key_sha256 and token.key_sha256 != event.key_sha256:
        tx.audit(f"site/{event.site}", "join.refused", f"site/{event.site}", "TokenUsed")
        return _token_refused("TokenUsed", "this token was already used with another key")
    if _over(token, tx):
        return _token_refused("TokenExpired", "this join token has expired")
    return None


def _token_refused(code: str, message: str) -> Refusal:
    hint = "ask an administrator for a new one: `suan site token SITE`"
    return Refusal(code, message, "PERMISSION_DENIED", hint)


def on_approve(tx: Transaction, event: Approve) -> Reply:
    """Give the site its certificate and register it."""
    pending = tx.state.joins.get(event.site)
    if pending is None:
        return Refusal("NothingPending", f"{event.site} has asked for nothing", "NOT_FOUND")
    if pending.fingerprint != event.fingerprint:
        return Refusal(
            "FingerprintDiffers",
            f"{event.site} asked with key {pending.fingerprint}",
            "FAILED_PRECONDITION",
            "compare the fingerprint with the operator before approving",
        )
    if event.site not in tx.state.sites and len(tx.state.sites) >= tx.limits.sites_max:
        return Refusal("TooManySites", f"at most {tx.limits.sites_max}", "RESOURCE_EXHAUSTED")
    tx.audit(event.actor, "site.approve", f"site/{event.site}", event.fingerprint)
    tx.put(replace(pending, certificate_pem=event.certificate_pem))
    known = tx.state.sites.get(event.site)
    if known is None:
        tx.put(Site(event.site, tx.now.wall, event.fingerprint))
    else:
        tx.put(replace(known, certificate_fingerprint=event.fingerprint))
    return Done()


def on_put_row(tx: Transaction, event: PutRow) -> Reply:
    """Write a tenant, a dataset or the network as a whole."""
    row = event.row
    known: object = tx.state.network
    if isinstance(row, Tenant):
        known = tx.state.tenants.get(row.name)
    elif isinstance(row, Dataset):
        known = tx.state.datasets.get(row.name)
    if known == row:
        return Done(changed=False)
    full = len(tx.state.datasets) >= tx.limits.datasets_max
    if isinstance(row, Dataset) and known is None and full:
        return Refusal("TooManyDatasets", "the catalogue is full", "RESOURCE_EXHAUSTED")
    tx.audit(event.actor, f"{row.key.partition('/')[0]}.put", row.key)
    tx.put(row)
    tx.settle_transfers()  # a network that has changed is planned for anew
    return Done()
