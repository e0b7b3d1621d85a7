"""Adds two tensors. With words it first asks for what a program may not do without a permission: connect PORT, or read FILE."""
import socket
import sys


def main():
    import torch

    if sys.argv[1:2] == ["connect"]:
        socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=5).close()
        print("connected")
    if sys.argv[1:2] == ["read"]:
        with open(sys.argv[2]) as f:
            print(f.read(), end="")
    print(torch.ones(2) + 1)
