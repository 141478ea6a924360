"""A kernel as a fork of the server of warm starts, for whoever starts kernels through jupyter_client."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from helpers.workflow.warm import Fork

LAUNCHER = "ipykernel_launcher"


class WarmProvisioner(LocalProvisioner):
    """Starts a kernel as a fork; as a process of its own where that cannot be."""

    imports: Sequence[str] = ()

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        try:
            arguments = cmd[cmd.index(LAUNCHER) + 1 :]
            self.process = Fork(
                f"{__name__}:kernel", arguments, self.imports, kwargs.get("env"), kwargs.get("cwd")
            )
        except (ValueError, OSError):  # another kernel than Python's, or no server
            return await super().launch_kernel(cmd, **kwargs)
        self.pid = self.pgid = self.process.pid
        return self.connection_info


def kernel() -> None:
    """A kernel, in a fork; a new process would read from its environment who started it."""
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance(parent_handle=os.getppid())


def use(imports: Sequence[str]) -> None:
    """Let this process' kernels start warm, with these modules imported."""
    WarmProvisioner.imports = imports
    factory = KernelProvisionerFactory.instance()
    where = f"{__name__}:{WarmProvisioner.__name__}"
    factory.provisioners["warm"] = EntryPoint("warm", where, KernelProvisionerFactory.GROUP_NAME)
    factory.default_provisioner_name = "warm"
