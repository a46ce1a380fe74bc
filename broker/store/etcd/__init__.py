"""The store for several brokers: rows in etcd, one leader at a time, standbys that follow."""

from broker.store.etcd.settings import EtcdSettings
from broker.store.etcd.store import EtcdStore

__all__ = ["EtcdSettings", "EtcdStore"]
