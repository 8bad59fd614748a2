import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { describe, it } from "node:test";
import { bridge } from "./port-forward.ts";
import { checkPrerequisites, type Machine } from "./prerequisites.ts";
import { type HostView, quote, rootFileSystemScript } from "./root-file-system.ts";
import { hostResolvers } from "./sandbox.ts";

const host: HostView = {
  mountInfo: [
    "1 0 8:1 / / rw - ext4 /dev/sda rw",
    "2 1 8:2 / /opt/big\\040disk rw - xfs /dev/sdb rw",
    "3 1 0:5 / /run/x rw - tmpfs tmpfs rw",
    "4 1 0:5 / /home rw - ext4 /dev/sdc rw",
    "5 1 8:1 /containers/a/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda rw",
  ].join("\n"),
  topLevel: [
    { name: "etc", kind: "directory" },
    { name: "opt", kind: "directory" },
    { name: "home", kind: "directory" },
    { name: "bin", kind: "link", target: "usr/bin" },
  ],
  isTraversable: (path) => path !== "/opt/private",
  isDirectory: () => false,
};

describe("the sandbox's file system", () => {
  it("shows the host's folders through layers, but not its homes", () => {
    const script = rootFileSystemScript(host, { exposures: [], rootless: false });
    assert.match(script, /^layer 0 '\/etc' '\/sys\/root\/etc'$/m);
    assert.match(script, /^ln -s 'usr\/bin' 'bin'$/m);
    assert.match(script, /^bind_ro '\/opt\/big disk' /m);
    assert.doesNotMatch(script, /layer \d+ '\/home'/);
    // A container's own file: it is replaced, which a mount over it would not allow.
    assert.doesNotMatch(script, /bind_ro '\/etc\/resolv\.conf'/);
    assert.doesNotMatch(script, /userxattr/);
    assert.match(rootFileSystemScript(host, { exposures: [], rootless: true }), /userxattr/);
  });

  it("exposes a folder under its own path, read-only, also below one that nobody may pass", () => {
    const lines = rootFileSystemScript(host, {
      exposures: [
        { path: "/opt/private/app" },
        { path: "/home/me/it's" },
        { path: "/home/me/it's/inner" },
        { path: "/home/me/state", writable: true },
      ],
      rootless: false,
    }).split("\n");
    const cover = lines.indexOf("mount -t tmpfs -o mode=755 tmpfs '/sys/root/opt/private'");
    const bind = lines.indexOf("mount --rbind '/opt/private/app' '/sys/root/opt/private/app'");
    assert.ok(cover !== -1 && cover < bind);
    assert.ok(lines.includes("mount -o remount,bind,ro '/sys/root/opt/private/app' 2>/dev/null || :"));
    assert.ok(lines.includes(`mkdir -p '/sys/root/home/me/it'\\''s'`));
    assert.ok(!lines.some((line) => line.includes("inner")));
    assert.ok(!lines.some((line) => line.includes("ro '/sys/root/home/me/state'")));
  });

  it("quotes any word for the shell", () => {
    assert.equal(quote("a'b$(c)"), "'a'\\''b$(c)'");
  });
});

describe("the check of the machine", () => {
  const machine = (fields: Partial<Machine> = {}): Machine => ({
    platform: "linux",
    isRoot: false,
    userName: "me",
    hasProgram: () => true,
    read: (path) => (path.startsWith("/etc/sub") ? "you:1:65536\nme:100000:65536\n" : undefined),
    failureOf: () => undefined,
    ...fields,
  });
  const first = (fields: Partial<Machine>): string => {
    const issue = checkPrerequisites(machine(fields))[0];
    return `${issue?.message} → ${issue?.fix}`;
  };

  it("finds nothing to say where all is there", () => {
    assert.deepEqual(checkPrerequisites(machine()), []);
    assert.deepEqual(checkPrerequisites(machine({ isRoot: true })), []);
  });

  it("names what is missing and the line to type", () => {
    assert.match(first({ platform: "darwin" }), /needs Linux, this is darwin/);
    assert.equal(
      first({ hasProgram: (name) => name !== "newuidmap" && name !== "ip" }),
      "missing programs: ip, newuidmap → sudo apt-get install -y iproute2 uidmap",
    );
    assert.equal(
      first({ isRoot: true, hasProgram: (name) => name !== "iptables-restore" }),
      "missing programs: iptables-restore → apt-get install -y iptables",
    );
    assert.match(first({ read: () => "you:1:65536" }), /no range of 65536 ids.*→ sudo usermod --add-subuids .* me$/);
    assert.match(
      first({ read: (path) => (path.includes("max_user") ? "0\n" : "me:1:65536") }),
      /sysctl -w user\.max_user_namespaces=/,
    );
    assert.match(
      first({ failureOf: () => "denied", read: (path) => (path.includes("apparmor") ? "1" : "me:1:65536") }),
      /AppArmor/,
    );
    assert.match(
      first({ failureOf: () => "denied", read: (path) => (path.startsWith("/etc") ? "me:1:65536" : undefined) }),
      /\(denied\) → run the command as root/,
    );
    assert.match(first({ isRoot: true, failureOf: () => "denied" }), /--privileged/);
  });
});

describe("the host's resolvers", () => {
  it("are the IPv4 name servers of resolv.conf", () => {
    assert.deepEqual(hostResolvers("# x\nnameserver 10.0.0.2\n nameserver ::1\nsearch a\nnameserver 127.0.0.53 \n"), [
      { address: "10.0.0.2", port: 53 },
      { address: "127.0.0.53", port: 53 },
    ]);
  });
});

describe("a forwarded port", () => {
  async function listen(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
    const server = createServer({ allowHalfOpen: true }, onConnection);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return { server, port: typeof address === "object" && address !== null ? address.port : 0 };
  }

  async function forwarded(onUpstream: (socket: Socket) => void) {
    const upstream = await listen(onUpstream);
    const front = await listen((socket) => bridge(socket, { address: "127.0.0.1", port: upstream.port }));
    const close = (): void => {
      upstream.server.close();
      front.server.close();
    };
    return { client: connect({ port: front.port, host: "127.0.0.1", allowHalfOpen: true }), close };
  }

  it("carries both directions and the end of each on its own", async () => {
    let received = "";
    const { client, close } = await forwarded((socket) => {
      socket.on("data", (chunk: Buffer) => {
        received += String(chunk);
      });
      socket.on("end", () => socket.end(`got ${received.length}`));
    });
    client.end("x".repeat(1_000_000));
    const chunks = (await client.toArray()) as Buffer[];
    assert.equal(Buffer.concat(chunks).toString(), "got 1000000");
    close();
  });

  it("slows the sender down when the receiver does not read", async () => {
    let upstreamSocket: Socket | undefined;
    const { client, close } = await forwarded((socket) => {
      socket.pause();
      upstreamSocket = socket;
    });
    await once(client, "connect");
    const chunk = Buffer.alloc(1 << 20);
    let written = 0;
    while (
      client.write(chunk) ||
      (written < 64 &&
        (await Promise.race([
          once(client, "drain").then(() => true),
          new Promise<false>((r) => setTimeout(() => r(false), 100)),
        ])))
    )
      written++;
    assert.ok(written < 64, "64 MB went in without anybody reading");
    client.destroy();
    upstreamSocket?.destroy();
    close();
  });

  it("passes a reset on, and resets when there is no endpoint", async () => {
    const { client, close } = await forwarded((socket) => socket.once("data", () => socket.resetAndDestroy()));
    client.write("x");
    const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
    close();
    const front = await listen((socket) => bridge(socket, undefined));
    const [refused] = (await once(connect(front.port, "127.0.0.1"), "error")) as [NodeJS.ErrnoException];
    assert.equal(refused.code, "ECONNRESET");
    front.server.close();
  });
});
