"""Tests which addresses belong to this machine, and that connections to them use no proxy."""

import os
import socket
import sys

import click
import grpc
import httpx
import psutil
import pytest

from pipeline.cli import main
from serving.this_machine import exempt_from_proxies, is_this_machine, proxy_options

OWN = [
    *("localhost", "localhost:8500", "LOCALHOST:8500", "localhost.:8500", "model.localhost:8500"),
    *("127.0.0.1:8500", "127.8.9.10:8500", "[::1]:8500", "::1", "0.0.0.0:8500", "[::]:8500", "[::ffff:127.0.0.1]:8500"),
    *("unix:/tmp/socket", "unix:///tmp/socket", "unix-abstract:name"),
    *("dns:localhost:8500", "dns:///localhost:8500", "ipv4:127.0.0.1:8500", "ipv6:[::1]:8500"),
    *("http://localhost:8080/path", "https://127.0.0.1/", "http://user:word@[::1]:8080"),
    *(socket.gethostname(), f"{socket.gethostname().upper()}:8500"),
]
OTHERS = [
    *("models.example.com:8500", "localhost.example.com:8500", "notlocalhost:8500", "example.com/localhost"),
    *("192.0.2.7:8500", "[2001:db8::1]:8500", "2001:db8::1", "dns:///models.example.com:8500", "ipv4:192.0.2.7:8500"),
    *("https://hooks.example.com/?to=localhost", "http://localhost@example.com", "", "[::1", "https://"),
]


@pytest.mark.parametrize("address", OWN)
def test_an_address_of_this_machine_is_recognized(address):
    assert is_this_machine(address)
    assert proxy_options(address) == [("grpc.enable_http_proxy", 0)]


@pytest.mark.parametrize("address", OTHERS)
def test_another_machine_keeps_its_proxy(address):
    assert not is_this_machine(address)
    assert proxy_options(address) == []


def test_every_address_of_an_interface_is_this_machine():
    addresses = [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET
    ]
    assert addresses
    assert all(is_this_machine(f"{address}:8500") for address in addresses)


def test_the_full_name_of_this_machine_is_recognized(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "news-1")
    monkeypatch.setattr(socket, "getfqdn", lambda: "news-1.example.com")
    assert is_this_machine("news-1.example.com:8500")
    assert not is_this_machine("news-1.example.org:8500")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"no_proxy": "localhost,127.0.0.1"}),
        ({"no_proxy": "corp.example"}, {"no_proxy": "corp.example,localhost,127.0.0.1"}),
        # Python's libraries read the variable in capitals only if the one in small letters is not set.
        ({"NO_PROXY": "corp.example, localhost"}, {"no_proxy": "corp.example,localhost,127.0.0.1"}),
        ({"no_proxy": "*"}, {"no_proxy": "*"}),
        ({"no_grpc_proxy": "corp"}, {"no_proxy": "localhost,127.0.0.1", "no_grpc_proxy": "corp,localhost,127.0.0.1"}),
    ],
)
def test_no_proxy_keeps_what_it_says_and_names_this_machine(monkeypatch, before, after):
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    exempt_from_proxies()
    exempt_from_proxies()
    assert {name: os.environ[name] for name in ("no_proxy", "no_grpc_proxy") if name in os.environ} == after


def test_libraries_without_options_reach_this_machine(dead_proxy, server):
    exempt_from_proxies()
    with grpc.insecure_channel(server.address) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        with pytest.raises(httpx.ReadTimeout):  # The connection succeeded, but nobody answers.
            httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.2)


def test_every_command_exempts_this_machine(dead_proxy, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["agnews"])
    seen = []
    with pytest.raises(SystemExit):
        main(click.Command("look", callback=lambda: seen.append(os.environ["no_proxy"])))
    assert seen == ["localhost,127.0.0.1"]
