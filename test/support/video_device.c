// SPDX-License-Identifier: Apache-2.0
// A camera on V4L2 without a kernel's help, to be preloaded into a process that opens
// $VIDEO_DEVICES/video<N>: what such a camera answers to open, ioctl, mmap and select.
//
// It sends the bytes of the file $VIDEO_DEVICES/image, VIDEO_DEVICES_FPS times a second, and ends
// when its own file is unlinked, as a camera does that is pulled out (ENODEV). It has no greater
// images than 1280x720. Other files in that folder say, while they are there, what else it does:
// "stalled": it sends nothing; "uncompressed": it offers YUYV instead of MJPG; "busy": somebody
// else has it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 1024, BUFFERS = 16 };

typedef struct {
  int open, streaming;
  char path[PATH_MAX];
  unsigned width, height, format, fps;
  void *memory[BUFFERS];
  unsigned size, queue[BUFFERS], queued;
  long long due_ns;
} Camera;

static Camera cameras[MAX_FD];

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_ns(long long duration_ns) {
  struct timespec wait = {duration_ns / 1000000000LL, duration_ns % 1000000000LL};
  if (duration_ns > 0) nanosleep(&wait, NULL);
}

static int has(const char *name) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", getenv("VIDEO_DEVICES"), name);
  return access(path, F_OK) == 0;
}

static Camera *camera_of(int fd) {
  return fd >= 0 && fd < MAX_FD && cameras[fd].open ? &cameras[fd] : NULL;
}

static int opened(const char *path, int fd) {
  char real[PATH_MAX], prefix[PATH_MAX];
  const char *folder = getenv("VIDEO_DEVICES");
  if (fd < 0 || fd >= MAX_FD || !folder || !realpath(path, real)) return fd;
  snprintf(prefix, sizeof prefix, "%s/video", folder);
  if (strncmp(real, prefix, strlen(prefix))) return fd;
  Camera *camera = &cameras[fd];
  memset(camera, 0, sizeof *camera);
  camera->open = 1;
  camera->width = 640, camera->height = 480;
  camera->fps = getenv("VIDEO_DEVICES_FPS") ? atoi(getenv("VIDEO_DEVICES_FPS")) : 30;
  strcpy(camera->path, real);
  return fd;
}

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    static int (*next)(const char *, int, ...);                           \
    if (!next) next = dlsym(RTLD_NEXT, #name);                            \
    va_list rest;                                                         \
    va_start(rest, flags);                                                \
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;     \
    va_end(rest);                                                         \
    return opened(path, next(path, flags, mode));                         \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  static int (*next)(int);
  if (!next) next = dlsym(RTLD_NEXT, "close");
  if (camera_of(fd)) cameras[fd].open = 0;
  return next(fd);
}

#define MMAP(name)                                                                       \
  void *name(void *at, size_t length, int protection, int flags, int fd, off_t offset) { \
    static void *(*next)(void *, size_t, int, int, int, off_t);                          \
    if (!next) next = dlsym(RTLD_NEXT, #name);                                           \
    if (camera_of(fd)) {                                                                 \
      void *memory = next(NULL, length, PROT_READ | PROT_WRITE,                          \
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);                           \
      return cameras[fd].memory[offset / 4096 % BUFFERS] = memory;                       \
    }                                                                                    \
    return next(at, length, protection, flags, fd, offset);                              \
  }
MMAP(mmap)
MMAP(mmap64)

static int fail(int error) {
  errno = error;
  return -1;
}

static int gone(const Camera *camera) { return access(camera->path, F_OK) != 0; }

static int has_image(const Camera *camera) {
  return camera->queued && !has("stalled") && now_ns() >= camera->due_ns;
}

int select(int count, fd_set *readable, fd_set *writable, fd_set *other, struct timeval *timeout) {
  static int (*next)(int, fd_set *, fd_set *, fd_set *, struct timeval *);
  if (!next) next = dlsym(RTLD_NEXT, "select");
  for (int fd = 0; readable && fd < count; fd++) {
    Camera *camera = FD_ISSET(fd, readable) ? camera_of(fd) : NULL;
    if (!camera) continue;
    long long end_ns = timeout ? now_ns() + timeout->tv_sec * 1000000000LL : LLONG_MAX;
    while (!gone(camera) && !has_image(camera)) {
      if (now_ns() >= end_ns) return 0;
      sleep_ns(1000000);
    }
    return 1;
  }
  return next(count, readable, writable, other, timeout);
}

static void shape(Camera *camera, struct v4l2_pix_format *pixels) {
  unsigned offered = has("uncompressed") ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
  camera->format = offered;
  pixels->pixelformat = offered;
  pixels->width = camera->width, pixels->height = camera->height;
  pixels->field = V4L2_FIELD_NONE;
  pixels->bytesperline = offered == V4L2_PIX_FMT_YUYV ? 2 * camera->width : 0;
  pixels->sizeimage = camera->size = 2 * camera->width * camera->height;
}

static int take(Camera *camera, struct v4l2_buffer *buffer) {
  if (!camera->streaming) return fail(EINVAL);
  if (!has_image(camera)) return fail(EAGAIN);
  unsigned index = camera->queue[0];
  memmove(camera->queue, camera->queue + 1, --camera->queued * sizeof *camera->queue);
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/image", getenv("VIDEO_DEVICES"));
  FILE *file = fopen(path, "rb");
  buffer->index = index;
  buffer->bytesused = file ? fread(camera->memory[index], 1, camera->size, file) : 0;
  if (file) fclose(file);
  // The image was taken 5 ms before it is there.
  long long taken_ns = now_ns() - 5000000;
  buffer->timestamp.tv_sec = taken_ns / 1000000000LL;
  buffer->timestamp.tv_usec = taken_ns % 1000000000LL / 1000;
  buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  buffer->length = camera->size;
  camera->due_ns += 1000000000LL / camera->fps;
  if (camera->due_ns < now_ns()) camera->due_ns = now_ns();
  return 0;
}

static int answer(Camera *camera, unsigned long what, void *with) {
  struct v4l2_format *format = with;
  struct v4l2_buffer *buffer = with;
  struct v4l2_streamparm *rate = with;
  struct v4l2_capability *told = with;
  struct v4l2_requestbuffers *wanted = with;
  if (gone(camera)) return fail(ENODEV);
  switch (what) {
    case VIDIOC_QUERYCAP:
      memset(told, 0, sizeof *told);
      strcpy((char *)told->driver, "uvcvideo");
      strcpy((char *)told->card, "Preloaded");
      told->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
      told->capabilities = told->device_caps | V4L2_CAP_DEVICE_CAPS;
      return 0;
    case VIDIOC_S_FMT:
      camera->width = format->fmt.pix.width > 1280 ? 1280 : format->fmt.pix.width;
      camera->height = format->fmt.pix.height > 720 ? 720 : format->fmt.pix.height;
      shape(camera, &format->fmt.pix);
      return 0;
    case VIDIOC_G_FMT:
      shape(camera, &format->fmt.pix);
      return 0;
    case VIDIOC_S_PARM:
    case VIDIOC_G_PARM:
      rate->parm.capture.timeperframe.numerator = 1;
      rate->parm.capture.timeperframe.denominator = camera->fps;
      return 0;
    case VIDIOC_REQBUFS:
      if (wanted->count && has("busy")) return fail(EBUSY);
      camera->queued = 0;
      if (wanted->count > BUFFERS) wanted->count = BUFFERS;
      return 0;
    case VIDIOC_QUERYBUF:
      buffer->length = camera->size;
      buffer->m.offset = buffer->index * 4096;
      return 0;
    case VIDIOC_QBUF:
      if (camera->queued < BUFFERS) camera->queue[camera->queued++] = buffer->index;
      return 0;
    case VIDIOC_DQBUF:
      return take(camera, buffer);
    case VIDIOC_STREAMON:
      camera->streaming = 1;
      camera->due_ns = now_ns();
      return 0;
    case VIDIOC_STREAMOFF:
      camera->streaming = camera->queued = 0;
      return 0;
    default:
      return fail(EINVAL);
  }
}

int ioctl(int fd, unsigned long what, ...) {
  static int (*next)(int, unsigned long, ...);
  if (!next) next = dlsym(RTLD_NEXT, "ioctl");
  va_list rest;
  va_start(rest, what);
  void *with = va_arg(rest, void *);
  va_end(rest);
  Camera *camera = camera_of(fd);
  return camera ? answer(camera, what, with) : next(fd, what, with);
}
