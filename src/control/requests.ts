/** The requests of the control socket, and what answers them. */

import { version } from '../version.js';
import type { ControlRequest } from './ipc/protocol.js';
import { brief } from './node/brief.js';
import { STARTING, type StartingStatus } from './node/status.js';
import { CHECK_MS, Service } from './service.js';
import type { Shutdown } from './shutdown.js';
import { info } from './support/log.js';
import { show, UserError } from './support/user-error.js';

/** Returns the status before the devices exist. */
export function startingStatus(notReady: string): StartingStatus {
  return { version: version(), pid: process.pid, uptimeSeconds: Math.floor(process.uptime()), notReady };
}

/** Answers a request of the control socket; the service exists once the devices do. @throws UserError */
export async function answer(
  request: ControlRequest,
  service: Service | StartingStatus,
  shutdown: Shutdown,
): Promise<unknown> {
  switch (request.command) {
    case 'status':
      if (!(service instanceof Service)) return service;
      if (request.check === true) await service.watch?.checkNow(CHECK_MS);
      return request.brief === true ? brief(await service.status()) : await service.status();
    case 'examine':
      if (!(service instanceof Service)) return { facts: null, notReady: service.notReady ?? STARTING };
      return await service.examine();
    case 'leave':
      info('weft cleanup: stopping');
      shutdown.request();
      return await shutdown.drained;
    case 'hand-over':
      if (!(service instanceof Service) || !service.isReady) throw new UserError('it is still starting');
      await service.endCapture();
      return service.handOver(request.path, request.id);
    case 'resume':
      if (service instanceof Service && service.handingOver?.id === request.id)
        service.handingOver.resume('the new Weft failed');
      return undefined;
    case 'retire':
      // Two processes that replace this one would refuse each other.
      if (!(service instanceof Service) || service.handingOver?.id !== request.id || shutdown.requested)
        throw new UserError('another Weft takes over; the running one goes on');
      info(`Weft with pid ${request.pid} took over`);
      service.handingOver.end();
      // Before this process ends: otherwise the manager starts another one in its place.
      service.parts.manager.handOver(request.pid);
      shutdown.request();
      return await shutdown.drained;
    default:
      throw new UserError(
        `unknown request ${show(request)}; check that this command and the running Weft have the same version`,
      );
  }
}
