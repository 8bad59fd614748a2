// What AuthorizationPolicy means for requests that are written oddly: encoded paths, hosts with ports and capitals, IPv6,
// attributes that are missing, and rules that say the opposite of what one reads into them.
import { requestCases } from "#cli/testing/request-cases.ts";

const policy = (rules: string, action = "ALLOW", app = "api"): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {selector: {matchLabels: {app: ${app}}}, action: ${action}, rules: [${rules}]}
---`;
const me = "> api-v1 --port 8080 --identity default/shop";
const jwt = `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt}
spec: {selector: {matchLabels: {app: api}}, jwtRules: [{issuer: iss.example, jwks: '{"keys":[]}'}]}
---`;
const claims = (value: object): string => `--claims '${JSON.stringify({ iss: "iss.example", sub: "ann", ...value })}'`;

requestCases(
  "paths are compared after decoding of what needs no encoding, and before that of slashes",
  policy("{to: [{operation: {paths: ['/a/b', '/c%2Fd', '/é*']}}]}"),
  {
    [`${me} GET http://api/a/b`]: "arrives:8080",
    [`${me} GET http://api/a/%62`]: "arrives:8080",
    [`${me} GET http://api/a%2Fb`]: "403 not p[0]",
    [`${me} GET http://api/c%2Fd`]: "arrives:8080",
    [`${me} GET http://api/c/d`]: "403 not p[0]",
    [`${me} GET http://api//a/b`]: "403 not p[0]",
    [`${me} GET http://api/a//b`]: "403 not p[0]",
    [`${me} GET http://api/a/b/`]: "403 not p[0]",
    [`${me} GET http://api/a/x/../b`]: "arrives:8080",
    [`${me} GET 'http://api/a/b;v=1'`]: "403 not p[0]",
  },
);

requestCases(
  "hosts are compared without regard to case, and with the port that is in them",
  policy("{to: [{operation: {hosts: [Foo.Example, 'bar.example:*', '*.wild.example']}}]}"),
  {
    [`${me} GET http://foo.example/`]: "arrives:8080",
    [`${me} GET http://FOO.EXAMPLE/`]: "arrives:8080",
    [`${me} GET http://api/ -H 'host: foo.example:8080'`]: "403 not p[0]",
    [`${me} GET http://api/ -H 'host: bar.example:8080'`]: "arrives:8080",
    [`${me} GET http://api/ -H 'host: bar.example'`]: "403 not p[0]",
    [`${me} GET http://api/ -H 'host: a.WILD.example'`]: "arrives:8080",
    [`${me} GET http://api/ -H 'host: wild.example'`]: "403 not p[0]",
    [`${me} GET http://api/ -H 'host: foo.example.'`]: "403 not p[0]",
  },
);

requestCases(
  "IPv6 blocks, and IPv4 inside of IPv6",
  policy("{from: [{source: {ipBlocks: ['2001:db8::/32', '::1', '::ffff:192.0.2.0/120']}}]}"),
  {
    "> api-v1 --port 8080 --source-ip 2001:db8:1::9": "arrives:8080",
    "> api-v1 --port 8080 --source-ip 2001:DB8::1": "arrives:8080",
    "> api-v1 --port 8080 --source-ip 2001:db9::1": "403 not p[0]",
    "> api-v1 --port 8080 --source-ip ::1": "arrives:8080",
    "> api-v1 --port 8080 --source-ip 0:0:0:0:0:0:0:1": "arrives:8080",
    "> api-v1 --port 8080 --source-ip 10.0.0.1": "403 not p[0]",
  },
);

requestCases(
  "what is denied unless it is there: negative matches hold for what is missing",
  policy("{from: [{source: {notPrincipals: ['*']}}]}", "DENY"),
  {
    [me]: "arrives:8080",
    "> api-v1 --port 8080": "403 p[0]",
  },
);
requestCases(
  "a header that is missing has none of the values",
  policy("{when: [{key: 'request.headers[x-a]', notValues: ['1']}]}", "DENY"),
  {
    [`${me} -H 'x-a: 1'`]: "arrives:8080",
    [`${me} -H 'x-a: 2'`]: "403 p[0]",
    [me]: "403 p[0]",
  },
);
requestCases(
  "notRequestPrincipals with a star denies who has no token",
  jwt + policy('{from: [{source: {notRequestPrincipals: ["*"]}}]}', "DENY"),
  {
    [me]: "403 p[0]",
    [`${me} ${claims({})}`]: "arrives:8080",
  },
);
requestCases(
  "notNamespaces and notServiceAccounts hold for who has no certificate",
  policy(
    "{from: [{source: {notNamespaces: [default]}}], to: [{operation: {paths: [/n]}}]}, {from: [{source: {notServiceAccounts: [default/shop]}}], to: [{operation: {paths: [/s]}}]}",
    "DENY",
  ),
  {
    [`${me} GET http://api/n`]: "arrives:8080",
    "> api-v1 --port 8080 GET http://api/n": "403 p[0]",
    [`${me} GET http://api/s`]: "arrives:8080",
    "> api-v1 --port 8080 GET http://api/s": "403 p[1]",
    "> api-v1 --port 8080 --identity other/shop GET http://api/s": "403 p[1]",
  },
);
requestCases(
  "an exclusion beside what is included",
  policy("{to: [{operation: {paths: ['/api/*'], notPaths: ['/api/admin*']}}]}"),
  {
    [`${me} GET http://api/api/x`]: "arrives:8080",
    [`${me} GET http://api/api/admin/x`]: "403 not p[0]",
    [`${me} GET http://api/api/%61dmin`]: "403 not p[0]",
  },
);

requestCases(
  "claims: nested, lists, by prefix, and of other types",
  jwt +
    policy(
      "{when: [{key: 'request.auth.claims[a][b]', values: [x, 'pre*']}]}, {when: [{key: 'request.auth.claims[c.d]', values: [x]}]}, {when: [{key: 'request.auth.claims[n]', values: ['1']}]}, {when: [{key: 'request.auth.claims[ok]', values: ['true']}]}",
    ),
  {
    [`${me} ${claims({ a: { b: "x" } })}`]: "arrives:8080",
    [`${me} ${claims({ a: { b: ["y", "prefix"] } })}`]: "arrives:8080",
    [`${me} ${claims({ a: { b: { c: "x" } } })}`]: "403 not p[0]",
    [`${me} ${claims({ a: "x" })}`]: "403 not p[0]",
    [`${me} ${claims({ "c.d": "x" })}`]: "arrives:8080",
    [`${me} ${claims({ c: { d: "x" } })}`]: "403 not p[0]",
    [`${me} ${claims({ n: 1 })}`]: "403 not p[0]",
    [`${me} ${claims({ ok: true })}`]: "403 not p[0]",
  },
);

requestCases(
  "audiences and presenter",
  jwt +
    policy("{when: [{key: request.auth.audiences, values: [web]}, {key: request.auth.presenter, values: ['app-*']}]}"),
  {
    [`${me} ${claims({ aud: "web", azp: "app-1" })}`]: "arrives:8080",
    [`${me} ${claims({ aud: ["x", "web"], azp: "app-1" })}`]: "arrives:8080",
    [`${me} ${claims({ aud: "web" })}`]: "403 not p[0]",
  },
);

requestCases(
  "request principals: the issuer may hold slashes; by prefix and suffix",
  `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt}
spec: {selector: {matchLabels: {app: api}}, jwtRules: [{issuer: "https://iss.example/x", jwks: '{"keys":[]}'}]}
---` +
    policy(
      "{from: [{source: {requestPrincipals: ['https://iss.example/x/ann', '*/bob', 'https://iss.example/x/c*']}}]}",
    ),
  {
    [`${me} --claims '{"iss":"https://iss.example/x","sub":"ann"}'`]: "arrives:8080",
    [`${me} --claims '{"iss":"https://iss.example/x","sub":"bob"}'`]: "arrives:8080",
    [`${me} --claims '{"iss":"https://iss.example/x","sub":"carl"}'`]: "arrives:8080",
    [`${me} --claims '{"iss":"https://iss.example/x","sub":"dan"}'`]: "403 not p[0]",
    [`${me} --claims '{"iss":"https://iss.example","sub":"ann"}'`]: "401",
  },
);

requestCases(
  "destination.ip and several keys",
  policy("{when: [{key: destination.ip, values: [10.244.0.11]}, {key: remote.ip, notValues: [10.0.0.0/8]}]}"),
  {
    [`${me} --source-ip 192.0.2.1`]: "arrives:8080",
    [`${me} --source-ip 10.9.9.9`]: "403 not p[0]",
    "> api-v2 --port 8080 --identity default/shop --source-ip 192.0.2.1": "403 not p[0]",
  },
);

requestCases(
  "pseudo headers and names in capitals",
  policy(
    "{when: [{key: 'request.headers[X-Role]', values: [admin]}]}, {when: [{key: 'request.headers[:method]', values: [PUT]}]}",
  ),
  {
    [`${me} -H 'x-role: admin'`]: "arrives:8080",
    [`${me} -H 'X-ROLE: admin'`]: "arrives:8080",
    [`${me} -H 'x-role: Admin'`]: "403 not p[0]",
    [`${me} PUT http://api/`]: "arrives:8080",
  },
);
