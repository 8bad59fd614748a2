// The DNS proxy of a workload (port 15053, where capture sends the application's questions): names of the mesh are
// answered here, others are asked of the resolvers of resolv.conf.
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIP, isIPv6 } from "node:net";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { openForwarder } from "#wire/dns/forwarder.ts";
import { type Answer, type Query, RecordType, type Response, ResponseCode } from "#wire/dns/message.ts";
import { startNameServer } from "#wire/dns/name-server.ts";
import type { MeshNames } from "./mesh-names.ts";

export interface DnsProxyOptions {
  readonly names: MeshNames;
  readonly host: string;
  /** 0 picks one. */
  readonly port: number;
  readonly resolvers: readonly { readonly address: string; readonly port: number }[];
  readonly log: Logger;
}

export interface RunningDnsProxy extends Running {
  readonly port: number;
}

export async function startDnsProxy(options: DnsProxyOptions): Promise<RunningDnsProxy> {
  const { names, host, port, log } = options;
  const socket = await openSocket();
  // The socket is of one family; resolvers of the other one are not asked.
  const resolvers = options.resolvers.filter(({ address }) => isIP(address) === 4);
  let turn = 0;
  return startNameServer({
    host,
    port,
    log,
    forwarder: openForwarder({ socket, resolvers }),
    answer: (query) => answerFrom(names, query, turn++),
  });
}

async function openSocket(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0);
  await once(socket, "listening");
  return socket;
}

/** `turn` rotates the addresses, so that each gets its share of the first places. */
function answerFrom(names: MeshNames, { question }: Query, turn: number): Response | "elsewhere" {
  if (!names.isReady) return { code: ResponseCode.ServerFailure, answers: [], authoritative: false };
  const found = names.find(question.name);
  if (found === undefined) return "elsewhere";
  const { alias, addresses } = found;
  const owner = alias ?? question.rawName;
  const records = addresses.flatMap((address): Answer[] => {
    const type = isIPv6(address) ? "AAAA" : "A";
    const isAsked = question.type === RecordType[type] || question.type === RecordType.ANY;
    return isAsked ? [{ name: owner, type, address }] : [];
  });
  const first = records.length === 0 ? 0 : turn % records.length;
  const answers: Answer[] = [
    ...(alias === undefined ? [] : [{ name: question.rawName, type: "CNAME" as const, target: alias }]),
    ...records.slice(first),
    ...records.slice(0, first),
  ];
  // A name with addresses of the other family only exists all the same: no NXDOMAIN.
  return { code: ResponseCode.NoError, answers, authoritative: true };
}
