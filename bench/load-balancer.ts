// CPU per choice of the balancers, and how long a cluster of 10,000 endpoints takes to be read, taken over and asked for
// its first host. No sockets: balancers are arithmetic over arrays.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MutableHash64 } from "../src/base/hash/hash64.ts";
import { xxHash64 } from "../src/base/hash/xx-hash64.ts";
import { type ClusterConfig, plainEndpoint } from "../src/proxy/config/cluster.ts";
import { decodeEndpoints } from "../src/proxy/config/decode-endpoints.ts";
import {
  type BalancingPolicy,
  defaultLoadBalancing,
  type LoadBalancingConfig,
} from "../src/proxy/config/load-balancing.ts";
import { EventLoop } from "../src/proxy/transport/event-loop.ts";
import { balancerCounters } from "../src/proxy/upstream/balance/balancer.ts";
import { anyHost, type ChoiceContext } from "../src/proxy/upstream/balance/choice.ts";
import { makeBalancer } from "../src/proxy/upstream/balance/make-balancer.ts";
import { UpstreamEndpoint } from "../src/proxy/upstream/endpoint.ts";
import { Membership } from "../src/proxy/upstream/membership.ts";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "../src/wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { alternate, type Benchmark, type Figure, figure } from "./harness/benchmark.ts";

const many = 10_000;
/** What a choice may cost: a hundredth of what a request costs. */
const choiceAimUs = 0.4;
/** What a change of a large cluster may hold up the event loop for. */
const updateAimMs = 50;

const hashing = { usesHostname: false, balanceFactorPercent: 0 };
const ring: BalancingPolicy = {
  type: "ring_hash",
  minimumSize: 1024,
  maximumSize: 8_388_608,
  hashFunction: "xx_hash",
  ...hashing,
};
const policies: readonly (readonly [name: string, policy: BalancingPolicy, weighs: boolean])[] = [
  ["round robin", { type: "round_robin", slowStart: null }, false],
  ["round robin, weighted", { type: "round_robin", slowStart: null }, true],
  ["least request", { type: "least_request", choiceCount: 2, activeRequestBias: 1, slowStart: null }, false],
  ["least request, weighted", { type: "least_request", choiceCount: 2, activeRequestBias: 1, slowStart: null }, true],
  ["random", { type: "random" }, false],
  ["ring hash", ring, false],
  ["maglev", { type: "maglev", tableSize: 65_537, ...hashing }, false],
  ["maglev, bounded load", { type: "maglev", tableSize: 65_537, ...hashing, balanceFactorPercent: 150 }, false],
];

function hosts(count: number, weighs: boolean): UpstreamEndpoint[] {
  return Array.from({ length: count }, (_, i) => {
    const ip = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    const config = { ...plainEndpoint(`${ip}:8080`, ip, 8080), weight: weighs ? 1 + (i % 7) : 1 };
    return new UpstreamEndpoint(config, 0);
  });
}

function hashes(count: number): MutableHash64[] {
  return Array.from({ length: count }, (_, i) => {
    const hash = new MutableHash64();
    xxHash64(`user-${i}`, 0, hash);
    return hash;
  });
}

/** Microseconds of CPU per choice. */
function choosing(config: LoadBalancingConfig, members: readonly UpstreamEndpoint[]): (count: number) => number {
  const loop = new EventLoop();
  const balancer = makeBalancer<UpstreamEndpoint>(config, balancerCounters());
  balancer.update({
    hosts: members,
    config,
    localities: [],
    policy: { overprovisioningPercent: 140, countsWeights: false, dropOverload: null, staleAfterMs: 0 },
    activeRequests: () => 0,
    peers: null,
  });
  const contexts: ChoiceContext[] = hashes(1024).map((hash) => ({ ...anyHost, hash }));
  return (count) => {
    const before = process.cpuUsage();
    for (let i = 0; i < count; i++) balancer.choose(contexts[i & 1023]!, loop);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  };
}

function assignment(generation: number): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, {
    clusterName: "outbound|80||app.default.svc.cluster.local",
    endpoints: [
      {
        locality: { region: "r", zone: "z" },
        lbEndpoints: Array.from({ length: many }, (_, i) => ({
          hostIdentifier: {
            case: "endpoint" as const,
            value: {
              address: {
                address: {
                  case: "socketAddress" as const,
                  value: {
                    address: `10.${(i >> 8) & 255}.${i & 255}.${i === 0 ? generation : 1}`,
                    portSpecifier: { case: "portValue" as const, value: 8080 },
                  },
                },
              },
            },
          },
          loadBalancingWeight: 1,
        })),
      },
    ],
  });
}

/** Milliseconds of CPU from the bytes of an EDS update in which one of the endpoints is another to the first choice after it. */
function updating(policy: BalancingPolicy): () => number {
  const config: ClusterConfig["loadBalancing"] = { ...defaultLoadBalancing, policy };
  const loop = new EventLoop();
  const members = new Membership({
    loop,
    config,
    activeRequests: () => 0,
    keeps: () => false,
    onAdded: () => {},
    onRemoved: () => {},
    onRebalanced: () => {},
    peers: () => null,
  });
  const bytes = [1, 2].map((generation) => toBinary(ClusterLoadAssignmentSchema, assignment(generation)));
  let turn = 0;
  return () => {
    const before = process.cpuUsage();
    const { value } = decodeEndpoints(fromBinary(ClusterLoadAssignmentSchema, bytes[turn++ & 1]!));
    if (value !== null) members.replace(value);
    members.choose(anyHost);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}

export const loadBalancer: Benchmark = {
  notes: `One choice of a host by each balancing policy, from 10 and from 10,000 endpoints, and an EDS update of 10,000
endpoints of which one changed: from its bytes to the first choice after it. Peer: the aims that we have set ourselves, a
hundredth of what a request costs and 50 ms. CPU is user and system time of the process.`,
  run: (isQuick) => {
    const rounds = isQuick ? 1 : 5;
    return Promise.all([...choiceFigures(rounds, isQuick), ...updateFigures(rounds)]);
  },
};

function choiceFigures(rounds: number, isQuick: boolean): Promise<Figure>[] {
  return policies.flatMap(([name, policy, weighs]) =>
    [10, many].map(async (count) => {
      const run = choosing({ ...defaultLoadBalancing, policy }, hosts(count, weighs));
      const choices = isQuick ? 20_000 : 1_000_000;
      run(choices / 10);
      const of = { name: "load-balancer", unit: "µs CPU per choice", against: "our aim" };
      const runs = await alternate(
        rounds,
        () => Promise.resolve(run(choices)),
        () => Promise.resolve(choiceAimUs),
      );
      return figure({ ...of, case: `${name} of ${count}` }, runs);
    }),
  );
}

function updateFigures(rounds: number): Promise<Figure>[] {
  return (["round robin", "least request", "ring hash", "maglev"] as const).map(async (name) => {
    const policy = policies.find((it) => it[0] === name)?.[1] ?? ring;
    const run = updating(policy);
    for (let i = 0; i < 3; i++) run();
    const runs = await alternate(
      rounds,
      () => Promise.resolve(run()),
      () => Promise.resolve(updateAimMs),
    );
    const of = { name: "load-balancer", unit: "ms CPU per update of 10,000 endpoints", against: "our aim" };
    return figure({ ...of, case: `EDS update, ${name}` }, runs);
  });
}
