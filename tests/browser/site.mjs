// The page and, behind /api, Gatepost: as one origin, the way a reverse proxy makes it.

import { readFile } from 'node:fs/promises';
import http from 'node:http';

const page = await readFile(new URL('page.html', import.meta.url));

/// Serves on `port` (0: any that is free) until closed, and passes calls on to `upstream`.
export async function serve(port, upstream) {
  const server = http.createServer((request, response) => {
    if (!request.url.startsWith('/api/')) {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(page);
      return;
    }
    const options = { method: request.method, headers: request.headers };
    const onward = http.request(new URL(request.url, upstream), options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
  });
  await new Promise((resolve, reject) => {
    server.on('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://localhost:${server.address().port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
